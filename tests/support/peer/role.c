/* One socket of libzmq that plays a role: the words are explained in tests/matrix/role.rs. Built
   with -DCZMQ it is CZMQ's zsock and zmsg that send and receive. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>
#ifdef CZMQ
#include <czmq.h>
#endif

enum { PERIOD = 1 << 16, LONGEST = PERIOD * 81, PARTS = 200 };

static unsigned char pattern[LONGEST];
static int argc_;
static char **argv_;

static const char *word(const char *name) {
    size_t len = strlen(name);
    for (int i = 1; i < argc_; i++)
        if (strncmp(argv_[i], name, len) == 0 && argv_[i][len] == '=')
            return argv_[i] + len + 1;
    return NULL;
}

static void say(const char *line) {
    puts(line);
    fflush(stdout);
}

static void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, zmq_strerror(zmq_errno()));
    exit(1);
}

static int kind_of(const char *name) {
    static const struct { const char *name; int kind; } kinds[] = {
        {"REQ", ZMQ_REQ}, {"REP", ZMQ_REP}, {"DEALER", ZMQ_DEALER}, {"ROUTER", ZMQ_ROUTER},
        {"PUB", ZMQ_PUB}, {"SUB", ZMQ_SUB}, {"XPUB", ZMQ_XPUB}, {"XSUB", ZMQ_XSUB},
        {"PUSH", ZMQ_PUSH}, {"PULL", ZMQ_PULL}, {"PAIR", ZMQ_PAIR}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return kinds[i].kind;
    exit(2);
}

struct part { size_t len; unsigned char *bytes; };
struct message { size_t count; struct part parts[PARTS]; };

static void empty(struct message *m) {
    for (size_t i = 0; i < m->count; i++)
        free(m->parts[i].bytes);
    m->count = 0;
}

static void push(struct message *m, const void *bytes, size_t len) {
    if (m->count == PARTS)
        exit(3);
    struct part *part = &m->parts[m->count++];
    part->len = len;
    part->bytes = malloc(len + 1);
    memcpy(part->bytes, bytes, len);
}

#ifdef CZMQ
typedef zsock_t Socket;

static void put(Socket *socket, struct message *m) {
    zmsg_t *message = zmsg_new();
    for (size_t i = 0; i < m->count; i++)
        zmsg_addmem(message, m->parts[i].bytes, m->parts[i].len);
    if (zmsg_send(&message, socket))
        fail("zmsg_send");
}

static void get(Socket *socket, struct message *m) {
    empty(m);
    zmsg_t *message = zmsg_recv(socket);
    if (!message)
        fail("zmsg_recv");
    for (zframe_t *f = zmsg_first(message); f; f = zmsg_next(message))
        push(m, zframe_data(f), zframe_size(f));
    zmsg_destroy(&message);
}
#else
typedef void Socket;

static void put(Socket *socket, struct message *m) {
    for (size_t i = 0; i < m->count; i++)
        if (zmq_send(socket, m->parts[i].bytes, m->parts[i].len, i + 1 < m->count ? ZMQ_SNDMORE : 0) < 0)
            fail("zmq_send");
}

static void get(Socket *socket, struct message *m) {
    empty(m);
    int more = 1;
    while (more) {
        zmq_msg_t part;
        zmq_msg_init(&part);
        if (zmq_msg_recv(&part, socket, 0) < 0)
            fail("zmq_msg_recv");
        push(m, zmq_msg_data(&part), zmq_msg_size(&part));
        more = zmq_msg_more(&part);
        zmq_msg_close(&part);
    }
}
#endif

static void shaped(struct message *m, const char *shape) {
    unsigned long size, count;
    if (sscanf(shape, "%lux%lu", &size, &count) != 2)
        exit(4);
    for (unsigned long n = 0; n < count; n++)
        push(m, pattern + n, size);
}

static void describe(const struct message *m, size_t from) {
    char line[64];
    size_t size = m->parts[from].len;
    for (size_t n = from; n < m->count; n++)
        if (m->parts[n].len != size || memcmp(m->parts[n].bytes, pattern + n - from, size) != 0) {
            say("BAD");
            return;
        }
    snprintf(line, sizeof line, "%zux%zu", size, m->count - from);
    say(line);
}

static int told(void) {
    zmq_pollitem_t in = {NULL, 0, ZMQ_POLLIN, 0};
    return zmq_poll(&in, 1, 5) > 0;
}

static void set(void *raw, int option, const char *name) {
    if (zmq_setsockopt(raw, option, word(name), strlen(word(name))))
        fail(name);
}

static void secure(void *raw) {
    const char *mechanism = word("mechanism");
    int yes = 1;
    if (!mechanism || strcmp(mechanism, "null") == 0)
        return;
    if (strcmp(mechanism, "plain-client") == 0) {
        set(raw, ZMQ_PLAIN_USERNAME, "user");
        set(raw, ZMQ_PLAIN_PASSWORD, "password");
    } else if (strcmp(mechanism, "curve-client") == 0) {
        set(raw, ZMQ_CURVE_SERVERKEY, "server");
        set(raw, ZMQ_CURVE_PUBLICKEY, "public");
        set(raw, ZMQ_CURVE_SECRETKEY, "secret");
    } else if (strcmp(mechanism, "curve-server") == 0) {
        if (zmq_setsockopt(raw, ZMQ_CURVE_SERVER, &yes, sizeof yes))
            fail("server");
        set(raw, ZMQ_CURVE_SECRETKEY, "secret");
    } else {
        exit(4);
    }
}

int main(int argc, char **argv) {
    argc_ = argc;
    argv_ = argv;
    for (size_t i = 0; i < LONGEST; i++) {
        size_t j = i % PERIOD;
        pattern[i] = (unsigned char)(j * 31 + (j >> 8) * 7);
    }
    int kind = kind_of(word("type"));
    const char *mode = word("mode"), *bind = word("bind"), *connect = word("connect");
    char endpoint[256];
    size_t len = sizeof endpoint;
    void *raw;
#ifdef CZMQ
    Socket *socket = zsock_new(kind);
    raw = zsock_resolve(socket);
    zsock_set_linger(socket, 30000);
    if (kind == ZMQ_SUB)
        zsock_set_subscribe(socket, "");
    if (word("identity"))
        zsock_set_identity(socket, word("identity"));
    secure(raw);
    if (bind ? zsock_bind(socket, "%s", bind) < 0 : zsock_connect(socket, "%s", connect) < 0)
        fail("endpoint");
#else
    void *context = zmq_ctx_new();
    Socket *socket = raw = zmq_socket(context, kind);
    if (kind == ZMQ_SUB)
        zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0);
    if (word("identity"))
        zmq_setsockopt(socket, ZMQ_ROUTING_ID, word("identity"), strlen(word("identity")));
    secure(raw);
    if (bind ? zmq_bind(socket, bind) < 0 : zmq_connect(socket, connect) < 0)
        fail("endpoint");
#endif
    if (bind) {
        char line[300];
        zmq_getsockopt(raw, ZMQ_LAST_ENDPOINT, endpoint, &len);
        snprintf(line, sizeof line, "bound %s", endpoint);
        say(line);
    } else {
        say("connecting");
    }

    struct message message = {0};
    char *shapes = strdup(word("shapes") ? word("shapes") : "");
    if (strcmp(mode, "echo") == 0)
        for (;;) {
            get(socket, &message);
            put(socket, &message);
        }
    if (strcmp(mode, "send") == 0 && kind == ZMQ_PUB)
        while (!told()) {
            push(&message, "sync", 4);
            put(socket, &message);
            empty(&message);
        }
    int synced = 0;
    for (char *shape = strtok(shapes, ","); shape; shape = strtok(NULL, ",")) {
        size_t head = word("delimiter") ? 1 : 0;
        if (strcmp(mode, "take") != 0) {
            empty(&message);
            if (head)
                push(&message, "", 0);
            shaped(&message, shape);
            put(socket, &message);
        }
        if (strcmp(mode, "send") == 0)
            continue;
        for (;;) {
            get(socket, &message);
            if (message.count != 1 || message.parts[0].len != 4 || memcmp(message.parts[0].bytes, "sync", 4) != 0)
                break;
            if (!synced++)
                say("synced");
        }
        describe(&message, head);
    }
#ifdef CZMQ
    zsock_destroy(&socket);
#else
    zmq_close(socket);
    zmq_ctx_term(context);
#endif
    say("done");
    return 0;
}
