/*
 * causeway: the CNI plugin that a container runtime executes. It carries CNI_* variables and stdin to the daemon over
 * a unix socket and gives back the daemon's exit code and stdout. All CNI logic is the daemon's; what is decided here
 * is only what must be decided while the daemon does not answer. Every wait ends before the runtime's own deadline,
 * no lock is taken, and stdout carries one JSON document or nothing.
 *
 * Frame version 1; cni/frame.ts is the other end. Integers are unsigned and big-endian.
 *
 *   request                                      answer
 *   offset width                                 offset width
 *   0      1     frame version                   0      1     frame version
 *   1      3     zero                            1      1     exit code
 *   4      4     E, bytes of variables           2      2     zero
 *   8      4     S, bytes of stdin               4      4     O, bytes of stdout
 *   12     E     NAME=value NUL, repeated        8      O     stdout
 *   12+E   S     stdin
 *
 * The version byte stays first in every version, so that shim and daemon are upgraded apart. The daemon answers in
 * the version it was asked in; it answers a version that it does not know in version 1.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Deadlines in milliseconds, each for the whole call. Tests build with shorter ones; there is no other way to set them. */
#ifndef ADD_MS
#define ADD_MS 90000
#endif
#ifndef CHECK_MS
#define CHECK_MS 10000
#endif
#ifndef DEL_MS
#define DEL_MS 5000
#endif
#ifndef GC_MS
#define GC_MS 10000
#endif
#ifndef STATUS_MS
#define STATUS_MS 2000
#endif
#ifndef VERSION_MS
#define VERSION_MS 2000
#endif
/* how long ADD, CHECK and GC wait for a socket that nobody listens on */
#ifndef SOCKET_BACK_MS
#define SOCKET_BACK_MS 10000
#endif
/* how long stdin may take to end */
#ifndef STDIN_MS
#define STDIN_MS 10000
#endif
/* a heartbeat file younger than this stands for a daemon that is being restarted */
#ifndef HEARTBEAT_GRACE_S
#define HEARTBEAT_GRACE_S 60
#endif

enum {
  FRAME_VERSION = 1,
  REQUEST_HEADER = 12,
  ANSWER_HEADER = 8,
  VARIABLES_MAX = 128 * 1024,
  STDIN_MAX = 1024 * 1024 + 64 * 1024,
  STDOUT_MAX = 1024 * 1024,
  QUEUE_MAX = 256, /* slots 000 to 255, so the queue cannot grow past it */
  RETRY_MS = 50,
  DYING_MS = 1000,
};

/* Error numbers of the CNI specification 1.1.0, section 5. */
enum { CNI_BAD_VARIABLE = 4, CNI_IO_FAILURE = 5, CNI_TRY_LATER = 11, CNI_NOT_AVAILABLE = 50 };

#define DEFAULT_SOCKET "/run/causeway/ipamd.sock"
#define NEWEST_VERSION "1.1.0"
#define VERSIONS "\"0.3.0\",\"0.3.1\",\"0.4.0\",\"1.0.0\",\"" NEWEST_VERSION "\""

enum command { ADD, CHECK, DEL, GC, STATUS, VERSION };
enum { NEEDS_CONTAINERID = 1, NEEDS_NETNS = 2, NEEDS_IFNAME = 4, NEEDS_PATH = 8 };

struct verb {
  const char *name;
  enum command command;
  int deadline_ms;
  int needs;
};

static const struct verb verbs[] = {
    {"ADD", ADD, ADD_MS, NEEDS_CONTAINERID | NEEDS_NETNS | NEEDS_IFNAME | NEEDS_PATH},
    {"CHECK", CHECK, CHECK_MS, NEEDS_CONTAINERID | NEEDS_NETNS | NEEDS_IFNAME | NEEDS_PATH},
    {"DEL", DEL, DEL_MS, NEEDS_CONTAINERID | NEEDS_IFNAME | NEEDS_PATH},
    {"GC", GC, GC_MS, NEEDS_PATH},
    {"STATUS", STATUS, STATUS_MS, 0},
    {"VERSION", VERSION, VERSION_MS, 0},
};

/* The request is built in place, so that it goes out, or into a queue file, with one write. */
static unsigned char request[REQUEST_HEADER + VARIABLES_MAX + STDIN_MAX];
static size_t variables_length, stdin_length;
static unsigned char answer[ANSWER_HEADER + STDOUT_MAX];

static struct sockaddr_un address = {.sun_family = AF_UNIX};
static char folder[sizeof address.sun_path];
static char config_version[32] = NEWEST_VERSION;

/* ---- time ---- */

static long long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static long long earlier(long long a, long long b) { return a < b ? a : b; }

static void pause_ms(long long ms) {
  if (ms > 0) poll(NULL, 0, (int)ms);
}

/* 1 when fd is ready (or broken, which the next call on it will tell), 0 when the deadline came first */
static int wait_ready(int fd, short events, long long deadline) {
  for (;;) {
    struct pollfd wanted = {.fd = fd, .events = events};
    long long left = deadline - now_ms();
    if (left <= 0) return 0;
    int ready = poll(&wanted, 1, (int)left);
    if (ready > 0 || (ready < 0 && errno != EINTR)) return 1;
  }
}

/* ---- what goes to stdout ---- */

static void write_all(int fd, const void *bytes, size_t length) {
  const char *at = bytes;
  while (length > 0) {
    ssize_t written = write(fd, at, length);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) _exit(1); /* the runtime is gone: nobody is left to tell */
    at += written;
    length -= (size_t)written;
  }
}

/* Appends text as the inside of a JSON string. Bytes outside ASCII are written as escapes, so any input is valid JSON. */
static size_t append_json(char *out, size_t at, size_t size, const char *text) {
  for (const unsigned char *byte = (const unsigned char *)text; *byte != 0 && at + 7 < size; byte++) {
    if (*byte == '"' || *byte == '\\') {
      out[at++] = '\\';
      out[at++] = (char)*byte;
    } else if (*byte < 0x20 || *byte >= 0x7f) {
      at += (size_t)snprintf(out + at, size - at, "\\u%04x", *byte);
    } else {
      out[at++] = (char)*byte;
    }
  }
  out[at] = 0;
  return at;
}

/* Prints a CNI error and ends the process with exit code 1. */
__attribute__((noreturn, format(printf, 3, 4))) static void fail(int code, const char *details, const char *format, ...) {
  static char message[2048], out[16384];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  size_t at = (size_t)snprintf(out, sizeof out, "{\"cniVersion\":\"%s\",\"code\":%d,\"msg\":\"", config_version, code);
  /* the first part may not take the room that the closing of the document needs */
  at = append_json(out, at, sizeof out / 2, message);
  at += (size_t)snprintf(out + at, sizeof out - at, "\",\"details\":\"");
  at = append_json(out, at, sizeof out - 8, details);
  at += (size_t)snprintf(out + at, sizeof out - at, "\"}\n");
  write_all(STDOUT_FILENO, out, at);
  exit(1);
}

/* ---- the network configuration: only "cniVersion" is looked for ---- */

/* Position after the string that starts at `at`, which is the opening quote. */
static size_t skip_string(const unsigned char *text, size_t at, size_t length) {
  for (at++; at < length && text[at] != '"'; at++)
    if (text[at] == '\\') at++;
  return at + 1;
}

static size_t skip_space(const unsigned char *text, size_t at, size_t length) {
  while (at < length && strchr(" \t\r\n", text[at]) != NULL && text[at] != 0) at++;
  return at;
}

/* Takes over a version that is safe to print back; anything else leaves the newest one in place. */
static void take_version(const unsigned char *text, size_t from, size_t to) {
  static const char allowed[] = "0123456789.-+abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  if (to <= from || to - from >= sizeof config_version) return;
  for (size_t at = from; at < to; at++)
    if (text[at] == 0 || strchr(allowed, text[at]) == NULL) return;
  memcpy(config_version, text + from, to - from);
  config_version[to - from] = 0;
}

/* Finds the key at depth 1 only: a prevResult has a "cniVersion" of its own. */
static void find_config_version(const unsigned char *text, size_t length) {
  static const char key[] = "\"cniVersion\"";
  int depth = 0;
  for (size_t at = 0; at < length;) {
    unsigned char byte = text[at];
    if (byte != '"') {
      depth += (byte == '{' || byte == '[') - (byte == '}' || byte == ']');
      at++;
      continue;
    }
    size_t end = skip_string(text, at, length);
    if (depth == 1 && end <= length && end - at == sizeof key - 1 && memcmp(text + at, key, sizeof key - 1) == 0) {
      size_t value = skip_space(text, end, length);
      if (value < length && text[value] == ':') {
        value = skip_space(text, value + 1, length);
        if (value < length && text[value] == '"') {
          size_t after = skip_string(text, value, length);
          if (after <= length) take_version(text, value + 1, after - 1);
          return;
        }
      }
    }
    at = end;
  }
}

/* ---- building the request ---- */

static void put_u32(unsigned char *at, size_t value) {
  at[0] = (unsigned char)(value >> 24);
  at[1] = (unsigned char)(value >> 16);
  at[2] = (unsigned char)(value >> 8);
  at[3] = (unsigned char)value;
}

static size_t get_u32(const unsigned char *at) {
  return (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
}

static int is_carried(const char *variable) {
  return strncmp(variable, "CNI_", 4) == 0 || strncmp(variable, "TRACEPARENT=", 12) == 0;
}

/*
 * When this process began, in microseconds of CLOCK_MONOTONIC, which all processes of a boot share: the daemon refuses an ADD that is older than
 * a finished DEL of the same attachment, however late it arrives.
 */
static void put_start(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  char *into = (char *)request + REQUEST_HEADER;
  variables_length = (size_t)sprintf(into, "CAUSEWAY_STARTED_US=%lld", now.tv_sec * 1000000LL + now.tv_nsec / 1000) + 1;
}

/* 0 when the variables are larger than the frame allows */
static int gather_variables(void) {
  put_start();
  for (char **variable = environ; *variable != NULL; variable++) {
    if (!is_carried(*variable)) continue;
    size_t length = strlen(*variable) + 1;
    if (variables_length + length > VARIABLES_MAX) return 0;
    memcpy(request + REQUEST_HEADER + variables_length, *variable, length);
    variables_length += length;
  }
  return 1;
}

enum stdin_end { STDIN_WHOLE, STDIN_TOO_LARGE, STDIN_UNENDED, STDIN_FAILED };

/* Reads stdin to its end, one byte past the limit at most. On failure errno says why. */
static enum stdin_end read_stdin(long long deadline) {
  unsigned char *into = request + REQUEST_HEADER + variables_length;
  for (;;) {
    if (!wait_ready(STDIN_FILENO, POLLIN, deadline)) return STDIN_UNENDED;
    unsigned char beyond;
    int full = stdin_length == STDIN_MAX;
    ssize_t got = read(STDIN_FILENO, full ? &beyond : into + stdin_length, full ? 1 : STDIN_MAX - stdin_length);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0) return STDIN_FAILED;
    if (got == 0) return STDIN_WHOLE;
    if (full) return STDIN_TOO_LARGE;
    stdin_length += (size_t)got;
  }
}

static size_t seal_request(void) {
  request[0] = FRAME_VERSION;
  put_u32(request + 4, variables_length);
  put_u32(request + 8, stdin_length);
  return REQUEST_HEADER + variables_length + stdin_length;
}

/* ---- asking the daemon ---- */

enum outcome {
  ANSWERED,
  ABSENT, /* nobody listens */
  DENIED, /* the socket is there and not for us */
  LOST,   /* connected, and the connection ended without an answer we can read */
  SILENT, /* connected, and the deadline came first */
};

/* What went wrong with the last ask(), for people. */
static char trouble[256];

/* A connected descriptor, or -1 with the outcome told. A full backlog is waited for: a daemon is there. */
static int reach_daemon(long long deadline, enum outcome *outcome) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  while (fd >= 0) {
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
    if (errno == EINTR) continue;
    if (errno != EAGAIN) break;
    if (now_ms() + RETRY_MS >= deadline) {
      snprintf(trouble, sizeof trouble, "the daemon accepts no connection");
      *outcome = SILENT;
      close(fd);
      return -1;
    }
    pause_ms(RETRY_MS);
  }
  *outcome = errno == EACCES || errno == EPERM ? DENIED : ABSENT;
  snprintf(trouble, sizeof trouble, "connect: %s", strerror(errno));
  if (fd >= 0) close(fd);
  return -1;
}

/* Sends what it can. A daemon may answer before it has read all, so a broken pipe is found out by reading. 0: deadline. */
static int send_request(int fd, size_t length, long long deadline) {
  for (size_t at = 0; at < length;) {
    ssize_t sent = send(fd, request + at, length - at, MSG_NOSIGNAL);
    if (sent >= 0) {
      at += (size_t)sent;
    } else if (errno == EAGAIN) {
      if (!wait_ready(fd, POLLOUT, deadline)) return 0;
    } else if (errno != EINTR) {
      return 1;
    }
  }
  return 1;
}

static enum outcome receive(int fd, unsigned char *into, size_t length, long long deadline) {
  for (size_t at = 0; at < length;) {
    ssize_t got = recv(fd, into + at, length - at, 0);
    if (got > 0) {
      at += (size_t)got;
    } else if (got < 0 && errno == EAGAIN) {
      if (!wait_ready(fd, POLLIN, deadline)) return SILENT;
    } else if (got == 0 || errno != EINTR) {
      snprintf(trouble, sizeof trouble, "the daemon closed the connection without an answer");
      return LOST;
    }
  }
  return ANSWERED;
}

static enum outcome receive_answer(int fd, long long deadline) {
  enum outcome outcome = receive(fd, answer, ANSWER_HEADER, deadline);
  if (outcome != ANSWERED) return outcome;
  if (answer[0] != FRAME_VERSION || get_u32(answer + 4) > STDOUT_MAX) {
    snprintf(trouble, sizeof trouble, "the daemon's answer is not understood (frame version %d, %zu bytes)", answer[0],
             get_u32(answer + 4));
    return LOST;
  }
  return receive(fd, answer + ANSWER_HEADER, get_u32(answer + 4), deadline);
}

static pid_t listener; /* who listened where the last connection was made; 0 when that is hidden from us */

static enum outcome ask(long long deadline) {
  enum outcome outcome = ABSENT;
  int fd = reach_daemon(deadline, &outcome);
  if (fd < 0) return outcome;
  struct ucred peer = {0};
  socklen_t length = sizeof peer;
  getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length);
  listener = peer.pid;
  outcome = send_request(fd, seal_request(), deadline) ? receive_answer(fd, deadline) : SILENT;
  if (outcome == SILENT) snprintf(trouble, sizeof trouble, "the daemon is connected and does not answer");
  close(fd);
  return outcome;
}

__attribute__((noreturn)) static void relay(void) {
  write_all(STDOUT_FILENO, answer + ANSWER_HEADER, get_u32(answer + 4));
  exit(answer[1]);
}

/* ---- the queue of DELs: files in `del/` beside the socket, each one a request frame ---- */

static int write_file(int fd, size_t length) {
  for (size_t at = 0; at < length;) {
    ssize_t written = write(fd, request + at, length - at);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return 0;
    at += (size_t)written;
  }
  return fsync(fd) == 0;
}

/* Renames to the first free slot, looking from one that the process id chooses; never over another one's file. */
static int take_slot(int queue, const char *temporary, char slot[4]) {
  for (int tried = 0; tried < QUEUE_MAX; tried++) {
    snprintf(slot, 4, "%03u", ((unsigned)getpid() + (unsigned)tried) % QUEUE_MAX);
    if (renameat2(queue, temporary, queue, slot, RENAME_NOREPLACE) == 0) return fsync(queue) == 0;
    if (errno != EEXIST) return 0;
  }
  errno = EDQUOT;
  return 0;
}

struct queued {
  int folder, file; /* both stay open: the file's inode then cannot be given to another one */
  char slot[4];
};

/* Writes the request into the queue. On failure errno says why; EDQUOT is a full queue. */
static int enqueue(struct queued *entry) {
  char path[sizeof folder + 8], temporary[32];
  snprintf(path, sizeof path, "%s/del", folder);
  mkdir(folder, 0700);
  mkdir(path, 0700);
  entry->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (entry->folder < 0) return 0;
  snprintf(temporary, sizeof temporary, ".%d.tmp", (int)getpid());
  unlinkat(entry->folder, temporary, 0);
  entry->file = openat(entry->folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (entry->file < 0) return 0;
  if (write_file(entry->file, seal_request()) && take_slot(entry->folder, temporary, entry->slot)) return 1;
  int why = errno;
  unlinkat(entry->folder, temporary, 0);
  errno = why;
  return 0;
}

/* The daemon has answered after all: a later drain must not end what may be added under the same name meanwhile. */
static void dequeue(const struct queued *entry) {
  struct stat ours, there;
  if (fstat(entry->file, &ours) == 0 && fstatat(entry->folder, entry->slot, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
      ours.st_ino == there.st_ino)
    unlinkat(entry->folder, entry->slot, 0);
}

/* ---- the verbs, when the daemon does not answer ---- */

/* Asks until so many fifths of the verb's deadline, and relays the answer: the rest is for what a verb does alone. */
static enum outcome relay_within(int fifths, const struct verb *verb, long long start) {
  enum outcome outcome = ask(start + verb->deadline_ms * fifths / 5);
  if (outcome == ANSWERED) relay();
  return outcome;
}

__attribute__((noreturn)) static void fail_denied(const struct verb *verb) {
  fail(CNI_IO_FAILURE, trouble, "%s: no permission to use %s (uid %u)", verb->name, address.sun_path, (unsigned)geteuid());
}

/*
 * ADD, CHECK, GC: wait for the socket to come back, once more when the daemon goes away in the middle. A process that dies gives up its
 * connections before its listening socket, so that the same one may be met again, for a moment.
 */
__attribute__((noreturn)) static void ask_patiently(const struct verb *verb, long long start) {
  long long deadline = start + verb->deadline_ms, back_by = earlier(start + SOCKET_BACK_MS, deadline);
  pid_t lost = 0;
  long long lost_at = 0;
  for (int losses = 0;;) {
    enum outcome outcome = ask(deadline);
    if (outcome == ANSWERED) relay();
    if (outcome == DENIED) fail_denied(verb);
    if (outcome == SILENT)
      fail(CNI_TRY_LATER, trouble, "%s: no answer from the causeway daemon at %s within %d ms", verb->name, address.sun_path,
           verb->deadline_ms);
    if (outcome == LOST && (listener == 0 || listener != lost || now_ms() > lost_at + DYING_MS)) {
      losses++;
      lost = listener, lost_at = now_ms();
      back_by = earlier(lost_at + SOCKET_BACK_MS, deadline);
    }
    if (losses > 1 || now_ms() + RETRY_MS >= back_by)
      fail(CNI_TRY_LATER, trouble, "%s: the causeway daemon is not there at %s (waited %lld ms)", verb->name, address.sun_path,
           now_ms() - start);
    pause_ms(RETRY_MS);
  }
}

/* DEL: a daemon that is away gets it from the queue. The second try closes the gap to a daemon that has just drained. */
__attribute__((noreturn)) static void delete_or_queue(const struct verb *verb, long long start) {
  struct queued entry;
  if (relay_within(3, verb, start) == DENIED) fail_denied(verb);
  int queued = enqueue(&entry), why = errno;
  if (ask(start + verb->deadline_ms * 4 / 5) == ANSWERED) {
    if (queued && answer[1] == 0) dequeue(&entry);
    relay();
  }
  if (queued) exit(0);
  if (why == EDQUOT) fail(CNI_TRY_LATER, trouble, "DEL: the queue %s/del is full (%d files)", folder, QUEUE_MAX);
  fail(CNI_TRY_LATER, trouble, "DEL: cannot write into the queue %s/del: %s", folder, strerror(why));
}

/* STATUS: a restart of the daemon must not make the node NotReady. A time in the future is a clock that was set back. */
__attribute__((noreturn)) static void status_by_heartbeat(const struct verb *verb, long long start) {
  char path[sizeof folder + 8];
  struct stat heartbeat;
  relay_within(4, verb, start);
  snprintf(path, sizeof path, "%s/alive", folder);
  if (stat(path, &heartbeat) != 0)
    fail(CNI_NOT_AVAILABLE, trouble, "STATUS: the causeway daemon has not started (%s: %s)", path, strerror(errno));
  long long age = (long long)time(NULL) - (long long)heartbeat.st_mtime;
  if (age < HEARTBEAT_GRACE_S && age > -HEARTBEAT_GRACE_S) exit(0);
  fail(CNI_NOT_AVAILABLE, trouble, "STATUS: the causeway daemon is gone (%s is %lld s old, grace is %d s)", path, age,
       HEARTBEAT_GRACE_S);
}

__attribute__((noreturn)) static void version_alone(const struct verb *verb, long long start) {
  char out[256];
  relay_within(4, verb, start);
  int length =
      snprintf(out, sizeof out, "{\"cniVersion\":\"%s\",\"supportedVersions\":[" VERSIONS "]}\n", config_version);
  write_all(STDOUT_FILENO, out, (size_t)length);
  exit(0);
}

/* ---- start ---- */

static const struct verb *find_verb(const char *name) {
  for (size_t at = 0; at < sizeof verbs / sizeof verbs[0]; at++)
    if (strcmp(verbs[at].name, name) == 0) return &verbs[at];
  return NULL;
}

static void require_variables(const struct verb *verb) {
  static const struct {
    int need;
    const char *name;
  } known[] = {{NEEDS_CONTAINERID, "CNI_CONTAINERID"},
               {NEEDS_NETNS, "CNI_NETNS"},
               {NEEDS_IFNAME, "CNI_IFNAME"},
               {NEEDS_PATH, "CNI_PATH"}};
  char missing[128] = "";
  for (size_t at = 0; at < sizeof known / sizeof known[0]; at++) {
    const char *value = getenv(known[at].name);
    if (!(verb->needs & known[at].need) || (value != NULL && *value != 0)) continue;
    if (*missing != 0) strcat(missing, ", ");
    strcat(missing, known[at].name);
  }
  if (*missing != 0) fail(CNI_BAD_VARIABLE, missing, "%s: required environment variables missing: %s", verb->name, missing);
}

static void find_socket(void) {
  const char *path = getenv("CAUSEWAY_SOCKET");
  if (path == NULL || *path == 0) path = DEFAULT_SOCKET;
  if (strlen(path) >= sizeof address.sun_path)
    fail(CNI_BAD_VARIABLE, path, "CAUSEWAY_SOCKET is a path of %zu bytes; a unix socket's can have %zu: %s", strlen(path),
         sizeof address.sun_path - 1, path);
  strcpy(address.sun_path, path);
  strcpy(folder, path);
  char *slash = strrchr(folder, '/');
  if (slash == NULL) strcpy(folder, ".");
  else slash[slash == folder] = 0;
}

static void require_stdin(const struct verb *verb, enum stdin_end end) {
  if (end == STDIN_TOO_LARGE)
    fail(CNI_IO_FAILURE, "", "%s: the network configuration on stdin is larger than the limit of %d bytes", verb->name, STDIN_MAX);
  if (end == STDIN_UNENDED)
    fail(CNI_IO_FAILURE, "", "%s: stdin did not end in time (%zu bytes read so far)", verb->name, stdin_length);
  if (end == STDIN_FAILED) fail(CNI_IO_FAILURE, strerror(errno), "%s: cannot read stdin", verb->name);
}

int main(void) {
  long long start = now_ms();
  signal(SIGPIPE, SIG_IGN);
  const char *command = getenv("CNI_COMMAND");
  if (command == NULL || *command == 0) {
    fputs("causeway: CNI plugin; a container runtime executes it\nCNI protocol versions supported: " VERSIONS "\n", stderr);
    return 0;
  }
  const struct verb *verb = find_verb(command);
  int deadline_ms = verb == NULL ? VERSION_MS : verb->deadline_ms;
  /* the last resort, for a file system or a reader of stdout that hangs */
  alarm((unsigned)deadline_ms / 1000 + 2);

  int fits = gather_variables();
  enum stdin_end end = read_stdin(start + earlier(STDIN_MS, deadline_ms / 2));
  find_config_version(request + REQUEST_HEADER + variables_length, stdin_length);
  if (verb == NULL) fail(CNI_BAD_VARIABLE, command, "unknown CNI_COMMAND: %s", command);
  if (!fits)
    fail(CNI_BAD_VARIABLE, "", "%s: the CNI_* variables are larger than the limit of %d bytes", command, VARIABLES_MAX);
  find_socket();
  require_variables(verb);
  if (verb->command == VERSION) {
    if (end != STDIN_WHOLE) stdin_length = 0; /* people run VERSION by hand, with a terminal for stdin */
    version_alone(verb, start);
  }
  require_stdin(verb, end);
  if (verb->command == DEL) delete_or_queue(verb, start);
  if (verb->command == STATUS) status_by_heartbeat(verb, start);
  ask_patiently(verb, start);
}
