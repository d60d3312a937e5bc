/* Small files of /sys and /proc, and the lists of numbers in them. */
#ifndef NUMASIM_SYSFS_H
#define NUMASIM_SYSFS_H

#include <stdbool.h>
#include <stddef.h>

/* A folder put before /sys and /proc: another host's files, for tests of what is planned there. "" at first. */
extern const char *sysfs_root;

/* The first line of a file whose path is made by a format, without its end; false and "" if it cannot be read. */
bool sysfs_text(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The number a file begins with; `otherwise` if it cannot be read or begins with none. */
double sysfs_number(double otherwise, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Number behind `name` in a file of lines such as "Node 0 MemFree:  1234 kB"; `otherwise` if there is none. */
double sysfs_entry(double otherwise, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Numbers of "0-3,8", at most `most`; their count, or -1 if the text is no list. "" has none. */
int list_parse(const char *text, int *numbers, int most);

/* "0-3,8" of ascending numbers. */
void list_print(char *text, size_t size, const int *numbers, int count);

#endif
