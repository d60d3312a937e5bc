/* In place of the markers: nothing, so that all of the program is recorded, as other tools count it. */
static inline void numasim_warm_up(void) {}
static inline void numasim_count(void) {}
static inline void numasim_end(void) {}
