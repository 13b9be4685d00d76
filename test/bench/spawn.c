/*
 * spawn: executes CNI plugins as a runtime does and times them, from fork to exit, with as little of its own as can be: Node's
 * spawn costs milliseconds. Driven by lines on stdin, fields separated by tabs; answers a line each.
 *
 *   make NETNS                                       a network namespace with its loopback up, kept at that path  -> ok
 *   remove NETNS                                     takes the path away again                                    -> ok
 *   run PLUGIN STDIN REMOVE LINK NAME=VALUE...       queues an execution; no answer
 *   go                                               all that are queued, at once: a line each, in their order
 *                                                    -> EXIT-CODE NANOSECONDS STDOUT
 *
 * REMOVE is a namespace to take away behind the plugin, LINK one of the host's links to wait for until it is gone, both within the time
 * measured; `-` is none. One execution is timed from its fork, several from the moment at which all may go.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RUNS_MAX = 256, FIELDS_MAX = 64, STDOUT_MAX = 16384 };

struct run {
  char *line; /* the fields point into it */
  char *argv[2], *stdin_text, *remove, *link, *environment[FIELDS_MAX];
  pid_t pid;
  int in[2], out[2], status;
  long long begun, ended;
};

static struct run runs[RUNS_MAX];
static int count;

static long long now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void die(const char *what) {
  fprintf(stderr, "spawn: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int is_given(const char *field) { return strcmp(field, "-") != 0; }

/* ---- namespaces ---- */

static void write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return; /* a kernel without IPv6 */
  if (write(fd, text, strlen(text)) < 0) die(path);
  close(fd);
}

/* The loopback is up as runtimes have it; without duplicate address detection, which would hold the peer up for two seconds. */
static void furnish(void) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
  if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0) die("lo");
  close(fd);
  write_file("/proc/sys/net/ipv6/conf/all/accept_dad", "0");
  write_file("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
}

static void make_netns(const char *path) {
  int file = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
  if (file < 0) die(path);
  close(file);
  pid_t pid = fork();
  if (pid == 0) {
    if (unshare(CLONE_NEWNET) < 0) die("unshare");
    furnish();
    char own[64];
    snprintf(own, sizeof own, "/proc/%d/ns/net", (int)getpid());
    if (mount(own, path, NULL, MS_BIND, NULL) < 0) die(path);
    _exit(0);
  }
  int status;
  if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0) die("make");
}

static void remove_netns(const char *path) {
  umount2(path, MNT_DETACH);
  unlink(path);
}

/* ---- executions ---- */

static void queue_run(char *line) {
  if (count == RUNS_MAX) die("too many runs");
  struct run *run = &runs[count++];
  memset(run, 0, sizeof *run);
  run->line = strdup(line);
  char *rest = run->line;
  char *path = strsep(&rest, "\t");
  run->argv[0] = path;
  run->stdin_text = strsep(&rest, "\t");
  run->remove = strsep(&rest, "\t");
  run->link = strsep(&rest, "\t");
  for (int at = 0; rest != NULL && at < FIELDS_MAX - 1; at++) run->environment[at] = strsep(&rest, "\t");
}

/* stdin is in its pipe before the plugin starts, which a configuration fits into whole. */
static void open_pipes(struct run *run) {
  if (pipe2(run->in, O_CLOEXEC) < 0 || pipe2(run->out, O_CLOEXEC) < 0) die("pipe");
  size_t length = strlen(run->stdin_text);
  if (write(run->in[1], run->stdin_text, length) != (ssize_t)length) die("stdin");
  close(run->in[1]);
}

/* `gate` ends (is closed by the parent) when all may go; -1 is none. */
static void start(struct run *run, int gate, int gate_writer) {
  run->begun = now_ns();
  run->pid = fork();
  if (run->pid < 0) die("fork");
  if (run->pid > 0) return;
  char byte;
  if (gate_writer >= 0) close(gate_writer);
  if (gate >= 0 && read(gate, &byte, 1) < 0) _exit(126);
  dup2(run->in[0], STDIN_FILENO);
  dup2(run->out[1], STDOUT_FILENO);
  execve(run->argv[0], run->argv, run->environment);
  _exit(127);
}

static void finish(struct run *run) {
  if (is_given(run->remove)) remove_netns(run->remove);
  while (is_given(run->link) && if_nametoindex(run->link) != 0) usleep(100);
  run->ended = now_ns();
}

static void reap(void) {
  for (int left = count; left > 0; left--) {
    int status;
    pid_t pid = waitpid(-1, &status, 0);
    if (pid < 0) die("waitpid");
    for (int at = 0; at < count; at++) {
      if (runs[at].pid != pid) continue;
      runs[at].status = status;
      finish(&runs[at]);
    }
  }
}

static void print(struct run *run) {
  static char text[STDOUT_MAX + 1];
  close(run->in[0]);
  close(run->out[1]);
  size_t length = 0;
  for (ssize_t got; (got = read(run->out[0], text + length, STDOUT_MAX - length)) > 0;) length += (size_t)got;
  close(run->out[0]);
  text[length] = 0;
  for (char *at = text; *at != 0; at++)
    if (*at == '\n' || *at == '\t') *at = ' ';
  int code = WIFEXITED(run->status) ? WEXITSTATUS(run->status) : 128 + WTERMSIG(run->status);
  printf("%d\t%lld\t%s\n", code, run->ended - run->begun, text);
  free(run->line);
}

static void go(void) {
  int gate[2] = {-1, -1};
  for (int at = 0; at < count; at++) open_pipes(&runs[at]);
  if (count > 1 && pipe2(gate, O_CLOEXEC) < 0) die("pipe");
  for (int at = 0; at < count; at++) start(&runs[at], gate[0], gate[1]);
  if (count > 1) {
    close(gate[0]);
    long long begun = now_ns();
    close(gate[1]);
    for (int at = 0; at < count; at++) runs[at].begun = begun;
  }
  reap();
  for (int at = 0; at < count; at++) print(&runs[at]);
  count = 0;
  fflush(stdout);
}

int main(void) {
  char *line = NULL;
  size_t room = 0;
  for (ssize_t length; (length = getline(&line, &room, stdin)) > 0;) {
    if (line[length - 1] == '\n') line[length - 1] = 0;
    char *rest = line, *verb = strsep(&rest, "\t");
    if (strcmp(verb, "run") == 0) queue_run(rest);
    else if (strcmp(verb, "go") == 0) go();
    else {
      if (strcmp(verb, "make") == 0) make_netns(rest);
      else if (strcmp(verb, "remove") == 0) remove_netns(rest);
      else die(verb);
      puts("ok");
      fflush(stdout);
    }
  }
  return 0;
}
