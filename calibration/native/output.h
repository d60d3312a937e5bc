/* JSON on standard output, and mistakes on standard error. */
#ifndef NUMASIM_OUTPUT_H
#define NUMASIM_OUTPUT_H

#include <stdbool.h>

/* An object or array begins, as the value of `key` (NULL in an array and at the top). */
void json_open(const char *key, char bracket);
void json_close(char bracket);

void json_text(const char *key, const char *value);
void json_number(const char *key, double value);
void json_bool(const char *key, bool value);

/* The line is over; what could not be written ends the program. */
void json_end(void);

/* A mistake in the words: one line on standard error, exit code 2. */
_Noreturn void mistake(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The host, or this program, is broken: exit code 1. */
_Noreturn void broken(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
