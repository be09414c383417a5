/*
 * The measuring client, one for all peers and all metrics.
 *
 * It does as little as possible, or it would be what is measured: one process, one
 * buffer, one epoll, and each byte is compared where it was received.
 *
 * Orders come on standard input, a line each, of words between tabs; each is answered
 * with a line. tests/benchmarks/client.py gives them.
 *
 *   get PORT PATH                 from now on the streams come from there, by HTTP,
 *   websocket PORT PATH NEWLINE   by WebSocket (NEWLINE: 1 to put one after a message),
 *   program WORD...               or from a program's standard output
 *   content FILE SIZE HEAD LOSSY  and hold the file HEAD, then FILE again and again, up
 *                                 to SIZE; LOSSY: 1 if the end may be missing
 *   ticks COUNT LOSSY             or hold ticks: when each was written; 0: without end
 *   drain           read one stream: seconds, bytes, bytes that were lost
 *   open N WAVE     open N streams, WAVE of them at once, until each has sent something
 *   answered N WAVE the same, until each has begun to answer
 *   mark BYTES      read until all streams have so many: when the first, the last had
 *   watch SECONDS   read all streams so long; what is there already does not count
 *   delays          seconds from the writing of each tick to its arrival; forgets them
 *   finish          read all streams to their ends
 *   runs N SECONDS KEEP   N clients that each read one stream after the other; KEEP: 1
 *                   on the same connection where the server allows that; all other open
 *                   streams are read meanwhile: how many streams, in how many seconds
 *   repeat          read one stream after the other, until there is another order; the
 *                   first answer comes when the first bytes have
 *
 * What fails is answered with "error", its kind and a message, and ends the program.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { PATIENCE = 60, BUFFER = 1 << 18, MOST_WORDS = 4096, HEAD = 8192 };

enum protocol { HTTP, WEBSOCKET, PROGRAM };

/* Where a stream comes from. Streams that are open keep theirs, so none is freed. */
struct source {
    enum protocol protocol;
    int port;
    bool newline;
    char *request;
    char **argv;
};

/* What a stream must hold. The block is repeated, so that any piece is found in it. */
struct content {
    bool ticks, lossy;
    long count;
    char *head, *block;
    size_t head_size, block_size, total;
};

enum state {
    AT_HEAD, RAW, SIZED, CHUNK_SIZE, CHUNK, CHUNK_END, TRAILER, FRAME_HEAD, FRAME, ENDED
};

struct stream {
    int fd;
    pid_t pid;
    const struct source *source;
    const struct content *content;
    enum state state;
    size_t left;        /* bytes of this chunk, frame or body */
    bool keep, final;
    char *text;         /* the head, or a line or header of the protocol */
    size_t text_size;
    size_t got;
    bool tail;          /* only empty lines may follow */
    double last;        /* when the last tick was written */
    long count;         /* of ticks */
    bool client;        /* one of "runs" */
    struct stream *next, **where;
};

static int epoll;
static struct stream *streams;
static size_t open_streams;
static const struct source *source;
static const struct content *content;
static char buffer[BUFFER];
static double now;

static size_t mark, missing;
static double first_marked, last_marked;
static double *delays;
static size_t delay_count, delay_room;

static void fail(const char *kind, const char *text, ...)
{
    va_list values;
    va_start(values, text);
    printf("error\t%s\t", kind);
    vprintf(text, values);
    putchar('\n');
    fflush(stdout);
    for (struct stream *each = streams; each; each = each->next)
        if (each->pid)
            kill(each->pid, SIGKILL);
    exit(1);
}

static void *need(void *memory)
{
    if (!memory)
        fail("Failed", "the client has no memory");
    return memory;
}

static double seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

/* ---- what arrives ---- */

static bool holds(const struct content *content, const char *data, size_t size,
                  size_t offset)
{
    if (offset + size > content->total)
        return false;
    if (offset < content->head_size) {
        size_t part = content->head_size - offset;
        if (part > size)
            part = size;
        if (memcmp(content->head + offset, data, part))
            return false;
        data += part, size -= part, offset += part;
    }
    size_t start = (offset - content->head_size) % content->block_size;
    return !memcmp(content->block + start, data, size);
}

static void differs(const struct stream *stream)
{
    fail("Differs", "other bytes than expected after %zu", stream->got);
}

static void compare(struct stream *stream, const char *data, size_t size)
{
    const struct content *content = stream->content;
    if (!stream->tail && holds(content, data, size, stream->got)) {
        stream->got += size;
        return;
    }
    if (!content->lossy)
        differs(stream);
    while (size && strchr("\r\n", data[size - 1]))
        size--;
    if ((stream->tail && size) || !holds(content, data, size, stream->got))
        differs(stream);
    stream->tail = true;
    stream->got += size;
}

static void tick(struct stream *stream, const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (stream->text_size == 40)
            fail("Differs", "a tick without an end");
        char *text = stream->text;
        if (data[i] != '\n') {
            if (data[i] != '\r')
                text[stream->text_size++] = data[i];
            continue;
        }
        if (!stream->text_size)
            continue;
        text[stream->text_size] = 0;
        char *end;
        double written = strtod(text, &end);
        if (*end)
            fail("Differs", "a tick reads %s", text);
        if (written <= stream->last || written >= now)
            fail("Differs", "a tick of %f after %f, at %f", written, stream->last, now);
        stream->last = written;
        stream->text_size = 0;
        stream->count++;
        if (delay_count == delay_room) {
            delay_room = 2 * delay_room + 1024;
            delays = need(realloc(delays, delay_room * sizeof *delays));
        }
        delays[delay_count++] = now - written;
    }
    stream->got += size;
}

static void receive(struct stream *stream, const char *data, size_t size)
{
    if (!size)
        return;
    if (stream->content->ticks) {
        tick(stream, data, size);
        return;
    }
    size_t before = stream->got;
    compare(stream, data, size);
    if (before < mark && mark <= stream->got) {
        if (!first_marked)
            first_marked = now;
        last_marked = now;
        missing--;
    }
}

static void check_end(const struct stream *stream)
{
    const struct content *content = stream->content;
    if (content->lossy)
        return;
    if (content->ticks && content->count && stream->count != content->count)
        fail("Differs", "%ld of %ld ticks arrived", stream->count, content->count);
    if (!content->ticks && stream->got < content->total)
        fail("Differs", "%zu of %zu bytes did not arrive",
             content->total - stream->got, content->total);
}

/* ---- protocols ---- */

/* Ticks collect their digits in the same place after the head. */
static void begin_body(struct stream *stream, enum state state)
{
    stream->state = state;
    stream->text_size = 0;
}

static const char *field(const char *head, const char *name)
{
    size_t size = strlen(name);
    for (const char *line = strchr(head, '\n'); line; line = strchr(line, '\n')) {
        line++;
        if (!strncasecmp(line, name, size) && line[size] == ':')
            return line + size + 1 + strspn(line + size + 1, " ");
    }
    return NULL;
}

static void head_came(struct stream *stream, const char *rest, size_t size)
{
    const char *head = stream->text;
    int status = 0, minor = 0;
    bool upgrade = stream->source->protocol == WEBSOCKET;
    if (sscanf(head, "HTTP/1.%d %d", &minor, &status) != 2
        || (upgrade ? status != 101 : status / 100 != 2))
        fail("Refused", "%.*s: %.*s", (int)strcspn(head, "\r\n"), head,
             (int)(size < 300 ? size : 300), rest);
    const char *encoding = field(head, "transfer-encoding");
    const char *length = field(head, "content-length");
    const char *connection = field(head, "connection");
    stream->keep = minor == 1 && !(connection && !strncasecmp(connection, "close", 5));
    if (upgrade) {
        stream->keep = false;
        begin_body(stream, FRAME_HEAD);
    } else if (encoding && !strncasecmp(encoding, "chunked", 7)) {
        begin_body(stream, CHUNK_SIZE);
    } else if (length) {
        stream->left = strtoull(length, NULL, 10);
        begin_body(stream, stream->left ? SIZED : ENDED);
    } else {
        stream->keep = false;
        begin_body(stream, RAW);
    }
}

/* Collect a line of the protocol; whether it is complete. Uses up *size. */
static bool line_came(struct stream *stream, char line[40], const char **data,
                      size_t *size)
{
    while (*size) {
        char byte = *(*data)++;
        (*size)--;
        if (byte == '\n')
            return true;
        size_t end = strlen(line);
        if (end + 1 == 40) {
            if (stream->state == CHUNK_SIZE)
                fail("Cut", "no chunk: %s", line);
            continue; /* a long trailer */
        }
        line[end] = byte;
        line[end + 1] = 0;
    }
    return false;
}

/* What is left of a line or a frame's header when a read ends within it. */
struct part {
    char line[40];
    unsigned char frame[10];
    size_t frame_size;
};

static struct part *part_of(struct stream *stream)
{
    return (struct part *)(stream->text + HEAD);
}

static void frame_head(struct stream *stream, const char **data, size_t *size)
{
    struct part *part = part_of(stream);
    unsigned char *frame = part->frame;
    size_t needed;
    for (;;) {
        needed = 2;
        if (part->frame_size >= 2)
            needed += frame[1] == 126 ? 2 : frame[1] == 127 ? 8 : 0;
        if (part->frame_size == needed)
            break;
        if (!*size)
            return;
        frame[part->frame_size++] = *(*data)++;
        (*size)--;
    }
    part->frame_size = 0;
    int kind = frame[0] & 15;
    if (kind == 8) {
        stream->state = ENDED;
        return;
    }
    if (kind > 2)
        fail("Cut", "a frame of kind %d, which no server here sends", kind);
    stream->final = frame[0] & 128;
    stream->left = needed == 2 ? frame[1] : 0;
    for (size_t i = 2; i < needed; i++)
        stream->left = stream->left << 8 | frame[i];
    stream->state = FRAME;
}

static void decode(struct stream *stream, const char *data, size_t size)
{
    char *line = stream->text ? part_of(stream)->line : NULL;
    while (size || stream->state == FRAME) {
        size_t piece = size < stream->left ? size : stream->left;
        switch (stream->state) {
        case AT_HEAD: {
            size_t old = stream->text_size, room = HEAD - 1 - old;
            size_t taken = size < room ? size : room;
            memcpy(stream->text + old, data, taken);
            stream->text[old + taken] = 0;
            char *end = strstr(stream->text + (old < 3 ? 0 : old - 3), "\r\n\r\n");
            if (!end) {
                if (taken == room)
                    fail("Cut", "an endless head");
                stream->text_size += taken;
                return;
            }
            size_t used = end + 4 - stream->text - old;
            data += used, size -= used;
            end[2] = 0;
            head_came(stream, data, size);
            break;
        }
        case RAW:
            receive(stream, data, size);
            return;
        case SIZED:
        case CHUNK:
            receive(stream, data, piece);
            data += piece, size -= piece, stream->left -= piece;
            if (!stream->left)
                stream->state = stream->state == SIZED ? ENDED : CHUNK_END;
            break;
        case CHUNK_SIZE: {
            if (!line_came(stream, line, &data, &size))
                return;
            char *end;
            stream->left = strtoull(line, &end, 16);
            if (end == line || !strchr("\r;", *end))
                fail("Cut", "no chunk: %s", line);
            line[0] = 0;
            stream->state = stream->left ? CHUNK : TRAILER;
            break;
        }
        case CHUNK_END:
        case TRAILER: {
            if (!line_came(stream, line, &data, &size))
                return;
            bool empty = line[0] == '\r';
            line[0] = 0;
            if (stream->state == TRAILER)
                stream->state = empty ? ENDED : TRAILER;
            else if (empty)
                stream->state = CHUNK_SIZE;
            else
                fail("Cut", "more than a chunk");
            break;
        }
        case FRAME_HEAD:
            frame_head(stream, &data, &size);
            break;
        case FRAME:
            receive(stream, data, piece);
            data += piece, size -= piece, stream->left -= piece;
            if (!stream->left) {
                if (stream->final && stream->source->newline)
                    receive(stream, "\n", 1);
                stream->state = FRAME_HEAD;
            } else if (!size) {
                return;
            }
            break;
        case ENDED:
            return; /* a close frame may say why */
        }
    }
}

/* The server has closed the connection. */
static void closed(struct stream *stream)
{
    struct part *part = part_of(stream);
    if (stream->state == AT_HEAD)
        fail("Cut", "closed without an answer");
    if (stream->state != RAW && !(stream->state == FRAME_HEAD && !part->frame_size))
        fail("Cut", "closed before the end");
    stream->state = ENDED;
}

/* ---- streams ---- */

static void send_request(struct stream *stream)
{
    const char *request = stream->source->request;
    if (write(stream->fd, request, strlen(request)) != (ssize_t)strlen(request))
        fail("Failed", "cannot ask: %s", strerror(errno));
}

static void connect_stream(struct stream *stream)
{
    struct sockaddr_in where = {.sin_family = AF_INET,
                                .sin_port = htons(stream->source->port),
                                .sin_addr = {htonl(INADDR_LOOPBACK)}};
    stream->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (stream->fd < 0 || connect(stream->fd, (struct sockaddr *)&where, sizeof where))
        fail("Failed", "cannot connect: %s", strerror(errno));
    int one = 1;
    setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    send_request(stream);
}

static void start_program(struct stream *stream)
{
    int ends[2];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    if (pipe2(ends, O_CLOEXEC))
        fail("Failed", "no pipe: %s", strerror(errno));
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    char **argv = stream->source->argv;
    int error = posix_spawnp(&stream->pid, argv[0], &actions, &attributes, argv, environ);
    if (error)
        fail("Failed", "cannot start %s: %s", argv[0], strerror(error));
    close(ends[1]);
    stream->fd = ends[0];
    stream->state = RAW;
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
}

static struct stream *open_stream(bool client)
{
    struct stream *stream = need(calloc(1, sizeof *stream));
    if (!source || !content)
        fail("Failed", "no source, or no content");
    stream->text = need(calloc(1, HEAD + sizeof(struct part)));
    stream->source = source;
    stream->content = content;
    stream->client = client;
    if (source->protocol == PROGRAM)
        start_program(stream);
    else
        connect_stream(stream);
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = stream}};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, stream->fd, &event))
        fail("Failed", "epoll: %s", strerror(errno));
    stream->where = &streams;
    stream->next = streams;
    if (streams)
        streams->where = &stream->next;
    streams = stream;
    open_streams++;
    return stream;
}

static void close_stream(struct stream *stream)
{
    /* A program that was just started may hold the descriptor a little longer, and then
       close() alone would leave it in the epoll. */
    epoll_ctl(epoll, EPOLL_CTL_DEL, stream->fd, NULL);
    close(stream->fd);
    if (stream->pid) {
        int status;
        if (stream->state != ENDED)
            kill(stream->pid, SIGKILL);
        waitpid(stream->pid, &status, 0);
        if (stream->state == ENDED && status)
            fail("Failed", "%s exited with %d", stream->source->argv[0],
                 WEXITSTATUS(status));
    }
    *stream->where = stream->next;
    if (stream->next)
        stream->next->where = stream->where;
    open_streams--;
    free(stream->text);
    free(stream);
}

/* Called when a stream has ended, before it is closed; whether it begins again. */
static bool (*ended)(struct stream *stream);

static void read_stream(struct stream *stream)
{
    ssize_t size = read(stream->fd, buffer, sizeof buffer);
    now = seconds();
    if (size < 0)
        fail("Cut", "%s while reading", strerror(errno));
    if (size)
        decode(stream, buffer, size);
    else
        closed(stream);
    if (stream->state != ENDED)
        return;
    check_end(stream);
    if (!ended || !ended(stream))
        close_stream(stream);
}

/* Read what is there, and wait for it so many milliseconds; how many streams had it. */
static int turn(int wait)
{
    struct epoll_event events[256];
    int count = epoll_wait(epoll, events, 256, wait);
    for (int i = 0; i < count; i++)
        read_stream(events[i].data.ptr);
    return count;
}

static void wait_turn(void)
{
    if (!open_streams)
        fail("Cut", "all streams ended too early");
    if (!turn(PATIENCE * 1000))
        fail("Silent", "nothing came for %d s", PATIENCE);
}

/* ---- orders ---- */

static size_t number(const char *word)
{
    return strtoull(word, NULL, 10);
}

static char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        fail("Failed", "%s: %s", path, strerror(errno));
    fseek(file, 0, SEEK_END);
    *size = ftell(file);
    rewind(file);
    char *data = need(malloc(*size + 1));
    if (fread(data, 1, *size, file) != *size)
        fail("Failed", "%s: %s", path, strerror(errno));
    fclose(file);
    return data;
}

static void set_source(enum protocol protocol, char **words)
{
    struct source *made = need(calloc(1, sizeof *made));
    made->protocol = protocol;
    if (protocol == PROGRAM) {
        size_t count = 0;
        while (words[count])
            count++;
        made->argv = need(calloc(count + 1, sizeof(char *)));
        for (size_t i = 0; i < count; i++)
            made->argv[i] = need(strdup(words[i]));
        source = made;
        return;
    }
    made->port = number(words[0]);
    /* Any key will do: the answer to it is not checked here. */
    const char *more = protocol == HTTP ? ""
        : "Upgrade: websocket\r\nConnection: Upgrade\r\n"
          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    made->newline = protocol == WEBSOCKET && number(words[2]);
    if (asprintf(&made->request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s\r\n",
                 words[1], made->port, more) < 0)
        need(NULL);
    source = made;
}

static void set_content(char **words)
{
    struct content *made = need(calloc(1, sizeof *made));
    size_t size;
    char *block = read_file(words[0], &size);
    made->head = read_file(words[2], &made->head_size);
    made->total = made->head_size + number(words[1]);
    made->lossy = number(words[3]);
    made->block_size = size;
    made->block = need(malloc(size + BUFFER));
    for (size_t i = 0; i < size + BUFFER; i++)
        made->block[i] = block[i % size];
    free(block);
    content = made;
}

static void set_ticks(char **words)
{
    struct content *made = need(calloc(1, sizeof *made));
    made->ticks = true;
    made->count = number(words[0]);
    made->lossy = number(words[1]);
    content = made;
}

static size_t drained, lost;

static bool note_drained(struct stream *stream)
{
    drained = stream->got;
    lost = stream->content->total > stream->got
        ? stream->content->total - stream->got : 0;
    return false;
}

static void drain(void)
{
    double began = seconds();
    ended = note_drained;
    open_stream(true);
    while (open_streams)
        wait_turn();
    printf("%.9f\t%zu\t%zu\n", now - began, drained, lost);
}

static bool ended_too_early(struct stream *stream)
{
    fail("Cut", "a stream ended too early, after %zu bytes", stream->got);
    return false;
}

static void open_all(size_t count, size_t most, bool answered)
{
    struct stream **wave = need(calloc(most, sizeof *wave));
    ended = ended_too_early;
    while (count) {
        size_t size = count < most ? count : most;
        for (size_t i = 0; i < size; i++)
            wave[i] = open_stream(false);
        for (size_t i = 0; i < size; i++)
            while (answered ? wave[i]->state == AT_HEAD : !wave[i]->got)
                wait_turn();
        count -= size;
    }
    free(wave);
    puts("ok");
}

static void read_to_mark(size_t bytes)
{
    ended = ended_too_early;
    mark = bytes;
    missing = open_streams;
    first_marked = 0;
    while (missing)
        wait_turn();
    printf("%.9f\t%.9f\n", first_marked, last_marked);
}

static void watch(double length)
{
    while (turn(0) > 0)
        continue;
    delay_count = 0;
    double until = seconds() + length;
    for (double left; (left = until - seconds()) > 0;)
        turn(left * 1000 + 1);
    puts("ok");
}

static void show_delays(void)
{
    for (size_t i = 0; i < delay_count; i++)
        printf("%s%.9f", i ? "\t" : "", delays[i]);
    putchar('\n');
    delay_count = 0;
}

static size_t finished, going;
static double until;
static bool keeping;

static bool next_run(struct stream *stream)
{
    if (!stream->client)
        return false;
    finished++;
    if (now >= until) {
        going--;
        return false;
    }
    if (!keeping || !stream->keep) {
        open_stream(true);
        return false;
    }
    memset(stream->text, 0, HEAD + sizeof(struct part));
    stream->state = AT_HEAD;
    stream->text_size = stream->got = 0;
    send_request(stream);
    return true;
}

static void runs(size_t clients, double length, bool keep)
{
    double began = seconds();
    until = began + length;
    finished = 0;
    going = clients;
    keeping = keep;
    ended = next_run;
    while (clients--)
        open_stream(true);
    while (going)
        wait_turn();
    printf("%zu\t%.9f\n", finished, now - began);
}

static void repeat(void)
{
    struct pollfd order = {.fd = 0, .events = POLLIN};
    for (bool told = false; !poll(&order, 1, 0);) {
        struct stream *stream = open_stream(true);
        while (!told && open_streams && !stream->got)
            wait_turn();
        if (!told)
            puts("ok"), fflush(stdout);
        told = true;
        while (open_streams)
            wait_turn();
    }
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    epoll = epoll_create1(EPOLL_CLOEXEC);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    while (getline(&line, &room, stdin) > 0) {
        char *words[MOST_WORDS] = {0}, *rest = line;
        line[strcspn(line, "\n")] = 0;
        for (int i = 0; i < MOST_WORDS - 1 && rest; i++)
            words[i] = strsep(&rest, "\t");
        const char *order = words[0];
        char **values = words + 1;
        ended = NULL;
        if (!strcmp(order, "get"))
            set_source(HTTP, values), puts("ok");
        else if (!strcmp(order, "websocket"))
            set_source(WEBSOCKET, values), puts("ok");
        else if (!strcmp(order, "program"))
            set_source(PROGRAM, values), puts("ok");
        else if (!strcmp(order, "content"))
            set_content(values), puts("ok");
        else if (!strcmp(order, "ticks"))
            set_ticks(values), puts("ok");
        else if (!strcmp(order, "drain"))
            drain();
        else if (!strcmp(order, "open"))
            open_all(number(values[0]), number(values[1]), false);
        else if (!strcmp(order, "answered"))
            open_all(number(values[0]), number(values[1]), true);
        else if (!strcmp(order, "mark"))
            read_to_mark(number(values[0]));
        else if (!strcmp(order, "watch"))
            watch(strtod(values[0], NULL));
        else if (!strcmp(order, "delays"))
            show_delays();
        else if (!strcmp(order, "finish")) {
            while (open_streams)
                wait_turn();
            puts("ok");
        } else if (!strcmp(order, "runs"))
            runs(number(values[0]), strtod(values[1], NULL), number(values[2]));
        else if (!strcmp(order, "repeat"))
            repeat();
        else
            fail("Failed", "no order: %s", order);
        fflush(stdout);
    }
    while (streams)
        close_stream(streams);
    return 0;
}
