/* One end of a measurement with libzmq: the same roles, options and lines as `peers ROLE IMPL`.
 * The runner compiles this with cc; Debian: apt-get install libzmq3-dev. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

enum { MOST_SAMPLES = 1 << 23 };

static long cpu, port, size = 64, count = 1, window = 1, curve, warm = 300, run = 1000;
static void *context;
static char *payload;

static void fail(const char *what)
{
    fprintf(stderr, "libzmq: %s: %s\n", what, zmq_strerror(errno));
    exit(1);
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* What src/meter.rs does: silent until the first message, then warm, then measured. */
static struct {
    enum { SILENT, WARM, MEASURED } phase;
    int64_t began, messages;
    long until_look, samples;
    uint32_t *latencies;
} meter = {.until_look = 1};

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void tick(void)
{
    meter.messages++;
    if (--meter.until_look) return;
    meter.until_look = size > 4096 ? 4 : 64;
    int64_t at = now(), passed = at - meter.began;
    if (meter.phase == SILENT) {
        meter.phase = WARM;
        meter.began = at;
    } else if (meter.phase == WARM && passed >= warm * 1000000) {
        puts("begin");
        fflush(stdout);
        meter.phase = MEASURED;
        meter.messages = meter.samples = 0;
        meter.began = now();
    } else if (meter.phase == MEASURED && passed >= run * 1000000) {
        long n = meter.samples;
        if (n) qsort(meter.latencies, (size_t)n, sizeof *meter.latencies, ascending);
        printf("end %lld %lld %u %u\n", (long long)meter.messages, (long long)passed,
               n ? meter.latencies[n / 2] : 0, n ? meter.latencies[n * 99 / 100] : 0);
        fflush(stdout);
        getchar();
        _exit(0);
    }
}

static void *made(int type)
{
    void *socket = zmq_socket(context, type);
    if (!socket) fail("zmq_socket");
    return socket;
}

/* The keys of libzmq's manual, as in src/keys.rs. */
static const char server_public[] = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
static const char server_secret[] = "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6";
static const char client_public[] = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID";
static const char client_secret[] = "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs";

static void key(void *socket, int option, const char *text)
{
    if (zmq_setsockopt(socket, option, text, strlen(text) + 1)) fail("a key");
}

static void *bound(void *socket)
{
    if (curve) {
        int one = 1;
        if (zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &one, sizeof one)) fail("ZMQ_CURVE_SERVER");
        key(socket, ZMQ_CURVE_SECRETKEY, server_secret);
    }
    char endpoint[64];
    size_t length = sizeof endpoint;
    if (zmq_bind(socket, "tcp://127.0.0.1:*")) fail("zmq_bind");
    zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &length);
    printf("ready %s\n", strrchr(endpoint, ':') + 1);
    fflush(stdout);
    return socket;
}

static void *connected(void *socket)
{
    if (curve) {
        key(socket, ZMQ_CURVE_SERVERKEY, server_public);
        key(socket, ZMQ_CURVE_PUBLICKEY, client_public);
        key(socket, ZMQ_CURVE_SECRETKEY, client_secret);
    }
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%ld", port);
    if (zmq_connect(socket, endpoint)) fail("zmq_connect");
    return socket;
}

static void flood(void *socket)
{
    for (;;)
        if (zmq_send(socket, payload, (size_t)size, 0) < 0) fail("zmq_send");
}

static void drain(void *socket)
{
    zmq_msg_t message;
    zmq_msg_init(&message);
    for (;;) {
        if (zmq_msg_recv(&message, socket, 0) < 0) fail("zmq_msg_recv");
        tick();
    }
}

static void subscribers(void)
{
    int poll = epoll_create1(0);
    void **sockets = calloc((size_t)count, sizeof *sockets);
    char *heard = calloc((size_t)count, 1);
    long silent = count;
    for (long i = 0; i < count; i++) {
        sockets[i] = made(ZMQ_SUB);
        zmq_setsockopt(sockets[i], ZMQ_SUBSCRIBE, "", 0);
        connected(sockets[i]);
        int fd;
        size_t length = sizeof fd;
        zmq_getsockopt(sockets[i], ZMQ_FD, &fd, &length);
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)i};
        epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
    }
    zmq_msg_t message;
    zmq_msg_init(&message);
    for (;;) {
        struct epoll_event events[64];
        int ready = epoll_wait(poll, events, 64, -1);
        for (int e = 0; e < ready; e++) {
            uint64_t i = events[e].data.u64;
            while (zmq_msg_recv(&message, sockets[i], ZMQ_DONTWAIT) >= 0) {
                if (!heard[i]) heard[i] = 1, silent--;
                if (!silent) tick();
            }
        }
    }
}

static void echo(void *socket)
{
    zmq_msg_t part;
    zmq_msg_init(&part);
    for (;;) {
        if (zmq_msg_recv(&part, socket, 0) < 0) fail("zmq_msg_recv");
        int more = zmq_msg_more(&part);
        if (zmq_msg_send(&part, socket, more ? ZMQ_SNDMORE : 0) < 0) fail("zmq_msg_send");
    }
}

static void trips(void *socket)
{
    int64_t *asked = calloc((size_t)window, sizeof *asked);
    meter.latencies = malloc(MOST_SAMPLES * sizeof *meter.latencies);
    zmq_msg_t message;
    zmq_msg_init(&message);
    for (long i = 0; i < window; i++) {
        asked[i] = now();
        if (zmq_send(socket, payload, (size_t)size, 0) < 0) fail("zmq_send");
    }
    for (long i = 0;; i = (i + 1) % window) {
        if (zmq_msg_recv(&message, socket, 0) < 0) fail("zmq_msg_recv");
        if (meter.samples < MOST_SAMPLES) meter.latencies[meter.samples++] = (uint32_t)(now() - asked[i]);
        tick();
        asked[i] = now();
        if (zmq_send(socket, payload, (size_t)size, 0) < 0) fail("zmq_send");
    }
}

int main(int argc, char **argv)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setsid();
    FILE *group = fopen("/proc/self/autogroup", "w");
    if (group) fputs("-15", group), fclose(group);
    const char *role = argc > 1 ? argv[1] : "";
    const struct {
        const char *name;
        long *value;
    } options[] = {{"--cpu", &cpu},       {"--port", &port}, {"--size", &size}, {"--count", &count},
                   {"--window", &window}, {"--curve", &curve}, {"--warm", &warm}, {"--run", &run}};
    for (int i = 3; i + 1 < argc; i += 2)
        for (size_t o = 0; o < sizeof options / sizeof *options; o++)
            if (!strcmp(argv[i], options[o].name)) *options[o].value = atol(argv[i + 1]);
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    payload = malloc((size_t)size);
    memset(payload, 7, (size_t)size);
    context = zmq_ctx_new();

    if (!strcmp(role, "push")) flood(connected(made(ZMQ_PUSH)));
    if (!strcmp(role, "pull")) drain(bound(made(ZMQ_PULL)));
    if (!strcmp(role, "pub")) flood(bound(made(ZMQ_PUB)));
    if (!strcmp(role, "pubwait")) {
        void *socket = made(ZMQ_PUB);
        int one = 1;
        if (zmq_setsockopt(socket, ZMQ_XPUB_NODROP, &one, sizeof one)) fail("ZMQ_XPUB_NODROP");
        flood(bound(socket));
    }
    if (!strcmp(role, "sub")) subscribers();
    if (!strcmp(role, "rep")) echo(bound(made(ZMQ_REP)));
    if (!strcmp(role, "router")) echo(bound(made(ZMQ_ROUTER)));
    if (!strcmp(role, "req")) trips(connected(made(ZMQ_REQ)));
    if (!strcmp(role, "dealer")) trips(connected(made(ZMQ_DEALER)));
    fprintf(stderr, "libzmq plays no %s\n", role);
    return 1;
}
