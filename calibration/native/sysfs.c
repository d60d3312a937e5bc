#include "sysfs.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *sysfs_root = "";

static FILE *open_file(const char *format, va_list values) {
    char path[600];
    int length = snprintf(path, sizeof path, "%s", sysfs_root);
    vsnprintf(path + length, sizeof path - (size_t)length, format, values);
    return fopen(path, "r");
}

static bool first_line(char *text, size_t size, FILE *file) {
    text[0] = 0;
    bool read = file && fgets(text, (int)size, file);
    if (file) {
        fclose(file);
    }
    text[strcspn(text, "\n")] = 0;
    return read;
}

bool sysfs_text(char *text, size_t size, const char *format, ...) {
    va_list values;
    va_start(values, format);
    FILE *file = open_file(format, values);
    va_end(values);
    return first_line(text, size, file);
}

double sysfs_number(double otherwise, const char *format, ...) {
    char text[100], *end;
    va_list values;
    va_start(values, format);
    FILE *file = open_file(format, values);
    va_end(values);
    first_line(text, sizeof text, file);
    double number = strtod(text, &end);
    return end == text ? otherwise : number;
}

double sysfs_entry(double otherwise, const char *name, const char *format, ...) {
    char line[1000];
    double number = otherwise;
    va_list values;
    va_start(values, format);
    FILE *file = open_file(format, values);
    va_end(values);
    while (file && fgets(line, sizeof line, file)) {
        char *found = strstr(line, name), *end;
        if (found) {
            found += strlen(name);
            double value = strtod(found, &end);
            number = end == found ? otherwise : value;
            break;
        }
    }
    if (file) {
        fclose(file);
    }
    return number;
}

int list_parse(const char *text, int *numbers, int most) {
    int count = 0;
    while (*text) {
        char *end;
        long first = strtol(text, &end, 10), last = first;
        if (end == text || first < 0) {
            return -1;
        }
        if (*end == '-') {
            text = end + 1;
            last = strtol(text, &end, 10);
            if (end == text || last < first) {
                return -1;
            }
        }
        for (long number = first; number <= last; number++) {
            if (count == most) {
                return -1;
            }
            numbers[count++] = (int)number;
        }
        if (*end != ',' && *end != 0) {
            return -1;
        }
        text = *end ? end + 1 : end;
    }
    return count;
}

void list_print(char *text, size_t size, const int *numbers, int count) {
    size_t length = 0;
    text[0] = 0;
    for (int i = 0; i < count && length + 24 < size; i++) {
        int first = numbers[i];
        while (i + 1 < count && numbers[i + 1] == numbers[i] + 1) {
            i++;
        }
        const char *comma = length ? "," : "";
        length +=
            (size_t)(numbers[i] > first ? snprintf(text + length, size - length, "%s%d-%d", comma, first, numbers[i])
                                        : snprintf(text + length, size - length, "%s%d", comma, first));
    }
}
