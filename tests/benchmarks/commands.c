/*
 * The commands that all peers run, where no program of the system does the same: these
 * start in a millisecond, and say when they write.
 *
 *   tick COUNT EVERY            writes COUNT ticks (0: without end), EVERY seconds apart;
 *                               a tick is a line that says when it is written, by the
 *                               clock that the client uses
 *   gated ORDERS BLOCK WRITTEN  reads orders, a line each, from a pipe: "tick N" writes
 *                               a line with N, and before it the time to another pipe;
 *                               "bulk N" writes so many bytes of the file BLOCK, again
 *                               and again; "end"
 */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 65536, BLOCK = 1 << 22 };

static void write_all(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t written = write(fd, data, size);
        if (written <= 0)
            exit(1);
        data += written, size -= written;
    }
}

static void write_time(int fd)
{
    struct timespec now;
    char line[40];
    clock_gettime(CLOCK_MONOTONIC, &now);
    int size = snprintf(line, sizeof line, "%09lld.%09ld\n", (long long)now.tv_sec,
                        now.tv_nsec);
    write_all(fd, line, size);
}

static void tick(long count, double every)
{
    struct timespec pause = {.tv_sec = every};
    pause.tv_nsec = (every - pause.tv_sec) * 1e9;
    for (long i = 0; !count || i < count; i++) {
        if (i)
            nanosleep(&pause, NULL);
        write_time(1);
    }
}

static void gated(const char *orders, const char *path, const char *times)
{
    static char block[BLOCK];
    char line[80], what[80];
    unsigned long long n;
    FILE *file = fopen(path, "rb");
    size_t size = file ? fread(block, 1, BLOCK, file) : 0;
    int written = open(times, O_WRONLY);
    FILE *order = fopen(orders, "r");
    if (!size || written < 0 || !order)
        exit(1);
    while (fgets(line, sizeof line, order)) {
        if (sscanf(line, "%79s %llu", what, &n) < 2)
            exit(0);
        if (!strcmp(what, "tick")) {
            write_time(written);
            write_all(1, line, snprintf(line, sizeof line, "%019llu\n", n));
            continue;
        }
        for (size_t at = 0, part; at < n; at += part) {
            size_t from = at % size;
            part = n - at < PIECE ? n - at : PIECE;
            if (part > size - from)
                part = size - from;
            write_all(1, block + from, part);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc == 4 && !strcmp(argv[1], "tick"))
        tick(atol(argv[2]), atof(argv[3]));
    else if (argc == 5 && !strcmp(argv[1], "gated"))
        gated(argv[2], argv[3], argv[4]);
    else
        return 2;
    return 0;
}
