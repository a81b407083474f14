/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The OCSP load tool: reads its options and prints what came of them, one line of JSON.  See usage[].
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>

#include <openssl/ocsp.h>

#include "t/bench/load/load.h"

static const char usage[] =
    "usage: ocsp_load url=http://ADDRESS:PORT/PATH [NAME=VALUE ...]\n"
    "\n"
    "Asks for certificates of edge_fill's count=N in random order, over connections that are kept, one request under\n"
    "way on each, and prints one line of JSON: answers a second, latency, its own CPU time, answers by HTTP and OCSP\n"
    "status, failures by kind.  SIGINT and SIGTERM end the run early.\n"
    "\n"
    "  issuer=FILE        PEM, the CA: CertIDs are made from it, answers verified against it (not for method=plain)\n"
    "  count=N            certificates (1000000)\n"
    "  method=get         get: PATH/{base64}; post; plain: GET of the URL as it is\n"
    "  nonce=N            octets of nonce, a new one each time (0: none)\n"
    "  hash=sha1          of the CertID: sha1, sha256, sha384, sha512\n"
    "  condition=none     etag: If-None-Match with what a first pass over all certificates has learned\n"
    "                     since: If-Modified-Since with the time of the start\n"
    "  order=random       all: each certificate once, then the end\n"
    "  flood=none         random: serials that were never issued; garbage; oversize; mix.  No answer is a failure then\n"
    "  body=ocsp          any: the body is not looked at\n"
    "  check=N            every Nth answer is verified completely with OpenSSL (1000; 0: none)\n"
    "  want=any           certificate status of those: good, revoked, unknown\n"
    "  connections=N      (16)\n"
    "  keepalive=on       off: a connection for each request\n"
    "  threads=N          (1)\n"
    "  seconds=S          (5; 0: until a signal comes, or order or requests end it)\n"
    "  requests=N         end after so many (0: no bound)\n"
    "  rate=R             requests a second to offer; latency then counts from when each was due (0: as fast as can be)\n"
    "  source=ADDRESS     connect from this address\n"
    "  sources=N          and the N-1 addresses after it, in turn (1)\n"
    "  pid=N              tell the CPU time of this process, too: the server's\n"
    "  seed=N             of the random order (1)\n"
    "  save=FILE          base64 of every body, one on a line; threads=1 only\n"
    "\n"
    "Failures: connect (no connection), broken (closed or garbled before the answer was whole), http (status), ocsp\n"
    "(responseStatus), check (did not verify).  \"retried\" counts requests on a kept connection that was closed before\n"
    "the first octet of an answer: they are sent once more on a new one (RFC 9110 9.2.2).\n";

/* Words and their values, ended by a NULL. */
typedef struct {
    const char *word;
    int         value;
} word_t;

static const word_t methods[] = { { "get", LOAD_GET }, { "post", LOAD_POST }, { "plain", LOAD_PLAIN }, { NULL, 0 } };
static const word_t conditions[] = {
    { "none", LOAD_ALWAYS }, { "etag", LOAD_IF_NONE_MATCH }, { "since", LOAD_IF_MODIFIED_SINCE }, { NULL, 0 },
};
static const word_t orders[] = { { "random", 0 }, { "all", 1 }, { NULL, 0 } };
static const word_t bodies[] = { { "ocsp", 0 }, { "any", 1 }, { NULL, 0 } };
static const word_t keeps[] = { { "on", 0 }, { "off", 1 }, { NULL, 0 } };
static const word_t floods[] = {
    { "none", FLOOD_NONE },         { "random", FLOOD_RANDOM }, { "garbage", FLOOD_GARBAGE },
    { "oversize", FLOOD_OVERSIZE }, { "mix", FLOOD_MIX },       { NULL, 0 },
};
static const word_t wants[] = {
    { "any", -1 },
    { "good", V_OCSP_CERTSTATUS_GOOD },
    { "revoked", V_OCSP_CERTSTATUS_REVOKED },
    { "unknown", V_OCSP_CERTSTATUS_UNKNOWN },
    { NULL, 0 },
};

static int
word_find(const word_t *words, const char *value)
{
    for (; words->word != NULL; words++) {
        if (strcmp(words->word, value) == 0) {
            return words->value;
        }
    }
    load_die(value, "is not one of the words for it (--help)");
}

static double
number_read(const char *value, double least, double most)
{
    char  *end;
    double v = strtod(value, &end);

    if (end == value || *end != '\0' || v < least || v > most) {
        load_die(value, "is not a number that can be used here");
    }
    return v;
}

static uint32_t
address_read(const char *value)
{
    struct in_addr a;

    if (inet_pton(AF_INET, value, &a) != 1) {
        load_die(value, "is not an IPv4 address");
    }
    return ntohl(a.s_addr);
}

static bool
option_is(const char *option, const char *name, const char **value)
{
    size_t len = strlen(name);

    *value = option + len + 1;
    return strncmp(option, name, len) == 0 && option[len] == '=';
}

/* What is asked for; false: not an option of this kind. */
static bool
option_what(load_conf_t *c, const char *option)
{
    const char *v;

    if (option_is(option, "url", &v)) {
        load_url_parse(v, &c->url);
    } else if (option_is(option, "issuer", &v)) {
        c->issuer = load_certificate(v);
    } else if (option_is(option, "count", &v)) {
        c->count = (size_t) number_read(v, 1, 1e9);
    } else if (option_is(option, "method", &v)) {
        c->method = (load_method_t) word_find(methods, v);
    } else if (option_is(option, "nonce", &v)) {
        c->nonce_len = (size_t) number_read(v, 0, LOAD_NONCE_MAX);
    } else if (option_is(option, "hash", &v)) {
        c->hash = v;
    } else if (option_is(option, "condition", &v)) {
        c->condition = (load_condition_t) word_find(conditions, v);
    } else if (option_is(option, "flood", &v)) {
        c->flood = (load_flood_t) word_find(floods, v);
    } else if (option_is(option, "body", &v)) {
        c->any_body = word_find(bodies, v) != 0;
    } else if (option_is(option, "check", &v)) {
        c->check_every = (unsigned) number_read(v, 0, 1e9);
    } else if (option_is(option, "save", &v)) {
        c->save = fopen(v, "w");
        if (c->save == NULL) {
            load_die(v, "cannot be written");
        }
    } else if (option_is(option, "want", &v)) {
        c->want = word_find(wants, v);
    } else {
        return false;
    }
    return true;
}

/* How, and for how long. */
static bool
option_how(load_conf_t *c, const char *option)
{
    const char *v;

    if (option_is(option, "order", &v)) {
        c->in_order = word_find(orders, v) != 0;
    } else if (option_is(option, "keepalive", &v)) {
        c->no_keep = word_find(keeps, v) != 0;
    } else if (option_is(option, "connections", &v)) {
        c->connections = (unsigned) number_read(v, 1, 10000);
    } else if (option_is(option, "threads", &v)) {
        c->threads = (unsigned) number_read(v, 1, 64);
    } else if (option_is(option, "seconds", &v)) {
        c->seconds = number_read(v, 0, 1e6);
    } else if (option_is(option, "requests", &v)) {
        c->requests = (uint64_t) number_read(v, 0, 1e12);
    } else if (option_is(option, "rate", &v)) {
        c->rate = number_read(v, 0, 1e7);
    } else if (option_is(option, "source", &v)) {
        c->source = address_read(v);
    } else if (option_is(option, "sources", &v)) {
        c->sources = (unsigned) number_read(v, 1, 65000);
    } else if (option_is(option, "pid", &v)) {
        c->pid = (pid_t) number_read(v, 1, 1 << 30);
    } else if (option_is(option, "seed", &v)) {
        c->seed = (uint64_t) number_read(v, 0, 1e15);
    } else {
        return false;
    }
    return true;
}

static void
conf_check(load_conf_t *c)
{
    if (c->url.path == NULL) {
        load_die("url", "is missing (--help)");
    }
    if (c->no_keep && c->condition != LOAD_ALWAYS) {
        load_die("keepalive", "condition takes keepalive=on");
    }
    if (c->save != NULL && c->threads != 1) {
        load_die("save", "takes threads=1");
    }
    if (c->method == LOAD_PLAIN) {
        c->count = 1;
        c->any_body = true;
        if (c->in_order) {
            load_die("order", "method=plain has only one thing to ask for");
        }
    } else if (c->issuer == NULL) {
        load_die("issuer", "is missing (--help)");
    }
}

static void
on_signal(int number)
{
    (void) number;
    load_stopped = 1;
}

int
main(int argc, char **argv)
{
    static load_stat_t sum;
    load_conf_t        conf = {
               .hash = "sha1", .count = 1000000, .connections = 16, .threads = 1, .sources = 1, .seconds = 5,
               .check_every = 1000, .want = -1, .seed = 1,
    };
    double seconds;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return 0;
        }
        if (!option_what(&conf, argv[i]) && !option_how(&conf, argv[i])) {
            load_die(argv[i], "is not an option (--help)");
        }
    }
    conf_check(&conf);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    seconds = load_run(&conf, &sum);
    load_stat_print(&sum, seconds);
    X509_free(conf.issuer);
    return conf.save == NULL || fclose(conf.save) == 0 ? 0 : 1;
}
