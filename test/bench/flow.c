/*
 * flow: sends 64-byte UDP payloads to ADDRESS, port 9, for SECONDS, as fast as one processor can, and prints how many nanoseconds of that
 * processor it had: others' use of it does not count. On a veth pair the kernel carries a packet on inside the sending call, so all the forwarding is
 * in that time too.
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

static long long clock_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
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
  long long used = clock_ns(CLOCK_THREAD_CPUTIME_ID);
  long long end = clock_ns(CLOCK_MONOTONIC) + (long long)(atof(arguments[2]) * 1e9);
  do {
    if (sendmmsg(fd, messages, AT_ONCE, 0) < 0 && errno != ECONNREFUSED) die("send");
  } while (clock_ns(CLOCK_MONOTONIC) < end);
  printf("%lld\n", clock_ns(CLOCK_THREAD_CPUTIME_ID) - used);
  return 0;
}
