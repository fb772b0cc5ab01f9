/* libzmq's zmq_proxy between a ROUTER for clients and a DEALER for workers, as a broker to compare
 * with: it knows no services and no liveness, it only forwards.
 * `proxy FRONT BACK [SECRET]`: two endpoints, and a secret key for CURVE on both.
 * `brokers` compiles this with cc; Debian: apt-get install gcc libzmq3-dev. */
#include <stdio.h>
#include <string.h>
#include <zmq.h>

static void *bound(void *context, int type, const char *endpoint, const char *secret)
{
    /* Nothing is dropped, and a thousand may knock at once. */
    int none = 0, backlog = 4096, one = 1;
    void *socket = zmq_socket(context, type);
    zmq_setsockopt(socket, ZMQ_SNDHWM, &none, sizeof none);
    zmq_setsockopt(socket, ZMQ_RCVHWM, &none, sizeof none);
    zmq_setsockopt(socket, ZMQ_BACKLOG, &backlog, sizeof backlog);
    if (secret) {
        zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &one, sizeof one);
        if (zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret, strlen(secret) + 1)) return NULL;
    }
    return zmq_bind(socket, endpoint) ? NULL : socket;
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "--version")) {
        int major, minor, patch;
        zmq_version(&major, &minor, &patch);
        printf("libzmq %d.%d.%d\n", major, minor, patch);
        return 0;
    }
    if (argc < 3) return fputs("usage: proxy FRONT BACK [SECRET]\n", stderr), 2;
    const char *secret = argc > 3 ? argv[3] : NULL;
    void *context = zmq_ctx_new();
    zmq_ctx_set(context, ZMQ_MAX_SOCKETS, 65535);
    void *front = bound(context, ZMQ_ROUTER, argv[1], secret);
    void *back = bound(context, ZMQ_DEALER, argv[2], secret);
    if (!front || !back) return perror("proxy"), 1;
    return zmq_proxy(front, back, NULL);
}
