/* What this host is: one JSON object. */
#ifndef NUMASIM_HOST_H
#define NUMASIM_HOST_H

void host_print(void);

#endif
