/*
 * flow: sends 64-byte UDP payloads to ADDRESS, port 9, for SECONDS, as fast as one processor can, and prints how long it did so in
 * nanoseconds. On a veth pair the kernel carries a packet on inside the sending call, so all the forwarding is on that processor too.
 *
 *   flow CPU SECONDS ADDRESS
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { PAYLOAD = 64, AT_ONCE = 64, DISCARD = 9 };

static void die(const char *what) {
  fprintf(stderr, "flow: %s: %s\n", what, strerror(errno));
  exit(1);
}

static long long now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

int main(int count, char **arguments) {
  if (count != 4) die("usage: flow CPU SECONDS ADDRESS");
  cpu_set_t processors;
  CPU_ZERO(&processors);
  CPU_SET(atoi(arguments[1]), &processors);
  if (sched_setaffinity(0, sizeof processors, &processors) < 0) die("pin");
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(DISCARD)};
  if (inet_pton(AF_INET, arguments[3], &to.sin_addr) != 1) die(arguments[3]);
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0) die("connect");
  static char payload[PAYLOAD];
  struct iovec part = {.iov_base = payload, .iov_len = sizeof payload};
  struct mmsghdr messages[AT_ONCE];
  memset(messages, 0, sizeof messages);
  for (int at = 0; at < AT_ONCE; at++) messages[at].msg_hdr = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1};
  long long begun = now_ns(), end = begun + (long long)(atof(arguments[2]) * 1e9), now;
  do {
    if (sendmmsg(fd, messages, AT_ONCE, 0) < 0 && errno != ECONNREFUSED) die("send");
    now = now_ns();
  } while (now < end);
  printf("%lld\n", now - begun);
  return 0;
}
