#include "output.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static bool after_value; /* does the next key or value need a comma? */

static void quoted(const char *text) {
    putchar('"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            printf("\\%c", c);
        } else if (c < 0x20 || c >= 0x7f) {
            printf("\\u%04x", c); /* bytes that are no ASCII stand for themselves, as in Latin-1 */
        } else {
            putchar(c);
        }
    }
    putchar('"');
}

static void begin(const char *key) {
    if (after_value) {
        printf(", ");
    }
    if (key) {
        quoted(key);
        printf(": ");
    }
    after_value = true;
}

void json_open(const char *key, char bracket) {
    begin(key);
    putchar(bracket);
    after_value = false;
}

void json_close(char bracket) {
    putchar(bracket);
    after_value = true;
}

void json_text(const char *key, const char *value) {
    begin(key);
    quoted(value);
}

void json_number(const char *key, double value) {
    begin(key);
    if (isfinite(value)) {
        bool whole = value == floor(value) && fabs(value) < 1e15;
        printf(whole ? "%.0f" : "%.9g", value);
    } else {
        printf("null"); /* JSON has no infinities */
    }
}

void json_bool(const char *key, bool value) {
    begin(key);
    printf(value ? "true" : "false");
}

void json_end(void) {
    putchar('\n');
    after_value = false;
    if (fflush(stdout) != 0) {
        broken("standard output cannot be written");
    }
}

static void complain(const char *format, va_list values) {
    fputs("numasim-native: ", stderr);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
}

_Noreturn void mistake(const char *format, ...) {
    va_list values;
    va_start(values, format);
    complain(format, values);
    va_end(values);
    exit(2);
}

_Noreturn void broken(const char *format, ...) {
    va_list values;
    va_start(values, format);
    complain(format, values);
    va_end(values);
    exit(1);
}
