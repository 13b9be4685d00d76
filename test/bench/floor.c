/*
 * floor: the least that an ADD and a DEL can cost on this kernel: the same changes that the daemon makes (cni/pod-network.ts), written by C
 * with as few messages sent as can be. It plays the daemon behind the real shim, one request at a time, and knows nothing of pools, JSON,
 * errors or undoing: whatever the kernel refuses ends it. Dual stack, or IPv4 only with -4.
 *
 *   floor [-4] SOCKET     serves until killed
 *   floor [-4] exec       one request by CNI_* variables, without a socket
 *
 * The pod's addresses are made of its container id, so nothing is remembered between an ADD and its DEL. The namespace needs an nftables table
 * `inet causeway` with the sets genuine4 and genuine6. linux/rtnetlink.h, linux/if_link.h, linux/netfilter/nf_tables.h.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PODS_TABLE = 4100, PROTOCOL = 197, CLAIMED = 4096, DYING_GROUP = 4101, FAMILY_4 = AF_INET, FAMILY_6 = AF_INET6 };

static const unsigned char gateway4[4] = {169, 254, 1, 1};
static const unsigned char gateway6[16] = {0xfe, 0x80, [14] = 0xca, [15] = 0x5e};
static int dual = 1, route_socket, nft_socket, home;

struct pod {
  char host[IFNAMSIZ], alias[256];
  const char *netns, *ifname;
  unsigned char address4[4], address6[16], link_local[16], host_mac[6], pod_mac[6];
  int host_index, pod_index;
};

static void die(const char *what) {
  fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
  exit(1);
}

/* ---- messages: built one behind the other, sent at once, every answer looked at ---- */

static char out[16384], in[32768];
static size_t length;
static struct nlmsghdr *message;
static unsigned sequence;

static void begin(int type, int flags, const void *header, size_t size) {
  message = (struct nlmsghdr *)(out + length);
  *message = (struct nlmsghdr){.nlmsg_type = (unsigned short)type, .nlmsg_flags = (unsigned short)(NLM_F_REQUEST | flags), .nlmsg_seq = ++sequence};
  memset(NLMSG_DATA(message), 0, NLMSG_ALIGN(size));
  memcpy(NLMSG_DATA(message), header, size);
  length += NLMSG_LENGTH(NLMSG_ALIGN(size));
  message->nlmsg_len = (unsigned)NLMSG_LENGTH(NLMSG_ALIGN(size));
}

static struct nlattr *attribute(int type, const void *value, size_t size) {
  struct nlattr *at = (struct nlattr *)(out + length);
  size_t room = NLA_ALIGN(NLA_HDRLEN + size);
  memset(at, 0, room);
  *at = (struct nlattr){.nla_len = (unsigned short)(NLA_HDRLEN + size), .nla_type = (unsigned short)type};
  if (size > 0) memcpy((char *)at + NLA_HDRLEN, value, size);
  length += room;
  message->nlmsg_len += (unsigned)room;
  return at;
}

static struct nlattr *open_nest(int type) { return attribute(type | NLA_F_NESTED, NULL, 0); }
static void close_nest(struct nlattr *nest) { nest->nla_len = (unsigned short)(out + length - (char *)nest); }
static void text(int type, const char *value) { attribute(type, value, strlen(value) + 1); }
static void u32(int type, unsigned value) { attribute(type, &value, sizeof value); }

/* Sends what was built. With a pod, a link in the answers tells its indexes. `acks` answers end it. */
static void flush(int fd, int acks, struct pod *pod) {
  if (send(fd, out, length, 0) < 0) die("send");
  length = 0;
  while (acks > 0) {
    ssize_t got = recv(fd, in, sizeof in, 0);
    if (got < 0) die("recv");
    for (struct nlmsghdr *at = (struct nlmsghdr *)in; NLMSG_OK(at, got); at = NLMSG_NEXT(at, got)) {
      if (at->nlmsg_type == NLMSG_ERROR) {
        struct nlmsgerr *error = NLMSG_DATA(at);
        errno = -error->error;
        if (error->error != 0) die("the kernel refused");
        acks--;
      } else if (at->nlmsg_type == RTM_NEWLINK && pod != NULL) {
        struct ifinfomsg *link = NLMSG_DATA(at);
        pod->host_index = link->ifi_index;
        int left = (int)IFLA_PAYLOAD(at);
        for (struct rtattr *one = IFLA_RTA(link); RTA_OK(one, left); one = RTA_NEXT(one, left))
          if (one->rta_type == IFLA_LINK) pod->pod_index = *(int *)RTA_DATA(one);
      }
    }
  }
}

static int open_netlink(int protocol) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol), on = 1;
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0) die("netlink");
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  return fd;
}

/* ---- the messages of one kind each ---- */

enum { NEW = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, SET = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE };

static void set_link(int index, unsigned flags, unsigned change) {
  struct ifinfomsg header = {.ifi_index = index, .ifi_flags = flags, .ifi_change = change};
  begin(RTM_SETLINK, NLM_F_ACK, &header, sizeof header);
}

static void no_link_local(int index) {
  unsigned char none = IN6_ADDR_GEN_MODE_NONE;
  set_link(index, 0, 0);
  struct nlattr *spec = open_nest(IFLA_AF_SPEC), *inet6 = open_nest(AF_INET6);
  attribute(IFLA_INET6_ADDR_GEN_MODE, &none, 1);
  close_nest(inet6);
  close_nest(spec);
}

static void add_address(int index, int family, const unsigned char *bytes, int prefix, int scope) {
  struct ifaddrmsg header = {.ifa_family = (unsigned char)family, .ifa_prefixlen = (unsigned char)prefix, .ifa_scope = (unsigned char)scope, .ifa_index = (unsigned)index};
  size_t size = family == AF_INET ? 4 : 16;
  begin(RTM_NEWADDR, SET, &header, sizeof header);
  attribute(IFA_LOCAL, bytes, size);
  attribute(IFA_ADDRESS, bytes, size);
  u32(IFA_FLAGS, IFA_F_PERMANENT | (family == AF_INET6 ? IFA_F_NODAD | IFA_F_NOPREFIXROUTE : 0));
}

static void add_neighbour(int index, int family, const unsigned char *bytes, const unsigned char *mac) {
  struct ndmsg header = {.ndm_family = (unsigned char)family, .ndm_ifindex = index, .ndm_state = NUD_PERMANENT};
  begin(RTM_NEWNEIGH, SET, &header, sizeof header);
  attribute(NDA_DST, bytes, family == AF_INET ? 4 : 16);
  attribute(NDA_LLADDR, mac, 6);
}

/* a pod's own route, or (index 0) the one that says its address is taken */
static void pod_route(int type, int flags, int family, const unsigned char *bytes, int index) {
  struct rtmsg header = {.rtm_family = (unsigned char)family, .rtm_dst_len = family == AF_INET ? 32 : 128, .rtm_protocol = PROTOCOL, .rtm_type = index == 0 ? RTN_UNREACHABLE : RTN_UNICAST};
  if (index != 0 && family == AF_INET) header.rtm_scope = RT_SCOPE_LINK;
  if (type == RTM_DELROUTE) header.rtm_scope = RT_SCOPE_NOWHERE;
  begin(type, flags, &header, sizeof header);
  u32(RTA_TABLE, PODS_TABLE);
  attribute(RTA_DST, bytes, family == AF_INET ? 4 : 16);
  unsigned metric = index == 0 ? CLAIMED : family == AF_INET ? 0 : 1024;
  if (metric != 0) u32(RTA_PRIORITY, metric);
  if (index != 0) u32(RTA_OIF, (unsigned)index);
  else if (type == RTM_DELROUTE && family == AF_INET6) u32(RTA_OIF, 1);
}

static void default_route(int index, int family, const unsigned char *gateway) {
  struct rtmsg header = {.rtm_family = (unsigned char)family, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_STATIC, .rtm_type = RTN_UNICAST, .rtm_flags = RTNH_F_ONLINK};
  begin(RTM_NEWROUTE, SET, &header, sizeof header);
  attribute(RTA_GATEWAY, gateway, family == AF_INET ? 4 : 16);
  u32(RTA_OIF, (unsigned)index);
  if (family == AF_INET6) u32(RTA_PRIORITY, 1024);
}

static void batch_marker(int type) {
  struct nfgenmsg header = {.res_id = htons(NFNL_SUBSYS_NFTABLES)};
  begin(type, 0, &header, sizeof header);
}

static void genuine(int type, int flags, const char *set, const char *link, const unsigned char *bytes, size_t size) {
  struct nfgenmsg header = {.nfgen_family = 1 /* NFPROTO_INET */};
  unsigned char key[IFNAMSIZ + 16] = {0};
  memcpy(key, link, strlen(link));
  memcpy(key + IFNAMSIZ, bytes, size);
  begin(NFNL_SUBSYS_NFTABLES << 8 | type, flags, &header, sizeof header);
  text(NFTA_SET_ELEM_LIST_TABLE, "causeway");
  text(NFTA_SET_ELEM_LIST_SET, set);
  struct nlattr *list = open_nest(NFTA_SET_ELEM_LIST_ELEMENTS), *element = open_nest(1), *wrapped = open_nest(NFTA_SET_ELEM_KEY);
  attribute(NFTA_DATA_VALUE, key, IFNAMSIZ + size);
  close_nest(wrapped);
  close_nest(element);
  close_nest(list);
}

static void genuine_all(const struct pod *pod, int type, int flags) {
  batch_marker(NFNL_MSG_BATCH_BEGIN);
  if (dual) genuine(type, flags, "genuine6", pod->host, pod->address6, 16);
  if (dual) genuine(type, flags, "genuine6", pod->host, pod->link_local, 16);
  genuine(type, flags | NLM_F_ACK, "genuine4", pod->host, pod->address4, 4);
  batch_marker(NFNL_MSG_BATCH_END);
  flush(nft_socket, 1, NULL);
}

/* ---- ADD ---- */

static void end_of_pair(const char *name, const unsigned char *mac) {
  if (name != NULL) text(IFLA_IFNAME, name);
  attribute(IFLA_ADDRESS, mac, 6);
  u32(IFLA_MTU, 1500);
  u32(IFLA_NUM_TX_QUEUES, 1);
  u32(IFLA_NUM_RX_QUEUES, 1);
}

static void make_pair(struct pod *pod, int netns) {
  struct ifinfomsg header = {0};
  begin(RTM_NEWLINK, NEW, &header, sizeof header);
  end_of_pair(pod->host, pod->host_mac);
  struct nlattr *info = open_nest(IFLA_LINKINFO);
  text(IFLA_INFO_KIND, "veth");
  struct nlattr *data = open_nest(IFLA_INFO_DATA), *peer = attribute(VETH_INFO_PEER, &header, sizeof header);
  end_of_pair(pod->ifname, pod->pod_mac);
  u32(IFLA_NET_NS_FD, (unsigned)netns);
  close_nest(peer);
  close_nest(data);
  close_nest(info);
  begin(RTM_GETLINK, NLM_F_ACK, &header, sizeof header);
  text(IFLA_IFNAME, pod->host);
  flush(route_socket, 2, pod);
}

static void set_sysctl(const char *family, const char *link, const char *name, const char *value) {
  char path[128];
  snprintf(path, sizeof path, "/proc/sys/net/%s/conf/%s/%s", family, link, name);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, value, 1) != 1) die(path);
  close(fd);
}

static void set_alias(struct pod *pod, const char *state) {
  snprintf(pod->alias, sizeof pod->alias, "v1|%s|%.200s", state, pod->host);
  text(IFLA_IFALIAS, pod->alias);
}

static void configure_host(struct pod *pod) {
  int index = pod->host_index, acks = 5;
  set_sysctl("ipv4", pod->host, "rp_filter", "1");
  set_sysctl("ipv6", pod->host, "accept_ra", "0");
  set_sysctl("ipv6", pod->host, "accept_redirects", "0");
  set_link(index, 0, 0);
  set_alias(pod, "made");
  no_link_local(index);
  set_link(index, IFF_UP, IFF_UP);
  add_neighbour(index, FAMILY_4, pod->address4, pod->pod_mac);
  pod_route(RTM_NEWROUTE, SET, FAMILY_4, pod->address4, index);
  if (dual) {
    add_address(index, FAMILY_6, gateway6, 64, RT_SCOPE_LINK);
    add_neighbour(index, FAMILY_6, pod->address6, pod->pod_mac);
    pod_route(RTM_NEWROUTE, SET, FAMILY_6, pod->address6, index);
    acks += 3;
  }
  flush(route_socket, acks, NULL);
}

static void configure_pod(struct pod *pod, int netns) {
  if (setns(netns, CLONE_NEWNET) < 0) die("setns");
  int fd = open_netlink(NETLINK_ROUTE), index = pod->pod_index, acks = 6;
  if (setns(home, CLONE_NEWNET) < 0) die("setns");
  set_link(1, IFF_UP, IFF_UP);
  no_link_local(index);
  set_link(index, IFF_UP, IFF_UP);
  add_address(index, FAMILY_4, pod->address4, 32, 0);
  add_neighbour(index, FAMILY_4, gateway4, pod->host_mac);
  default_route(index, FAMILY_4, gateway4);
  if (dual) {
    add_address(index, FAMILY_6, pod->link_local, 64, RT_SCOPE_LINK);
    add_address(index, FAMILY_6, pod->address6, 128, 0);
    add_neighbour(index, FAMILY_6, gateway6, pod->host_mac);
    default_route(index, FAMILY_6, gateway6);
    acks += 4;
  }
  flush(fd, acks, NULL);
  close(fd);
}

static void add(struct pod *pod) {
  int netns = open(pod->netns, O_RDONLY | O_CLOEXEC);
  if (netns < 0) die(pod->netns);
  pod_route(RTM_NEWROUTE, NEW, FAMILY_4, pod->address4, 0);
  if (dual) pod_route(RTM_NEWROUTE, NEW, FAMILY_6, pod->address6, 0);
  flush(route_socket, 1 + dual, NULL);
  make_pair(pod, netns);
  configure_host(pod);
  configure_pod(pod, netns);
  close(netns);
  genuine_all(pod, NFT_MSG_NEWSETELEM, NLM_F_CREATE);
  set_link(pod->host_index, 0, 0);
  set_alias(pod, "ready");
  flush(route_socket, 1, NULL);
}

/* ---- DEL ---- */

/* Behind the answer, as the daemon does: this call waits for the kernel. */
static void *remove_link(void *argument) {
  struct { struct nlmsghdr header; struct ifinfomsg link; } request = {
      .header = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_DELLINK, .nlmsg_flags = NLM_F_REQUEST},
      .link = {.ifi_index = (int)(long)argument}};
  int fd = open_netlink(NETLINK_ROUTE);
  if (send(fd, &request, sizeof request, 0) < 0) die("send");
  close(fd);
  return NULL;
}

static void del(struct pod *pod) {
  struct ifinfomsg header = {0};
  begin(RTM_GETLINK, NLM_F_ACK, &header, sizeof header);
  text(IFLA_IFNAME, pod->host);
  flush(route_socket, 1, pod);
  set_link(pod->host_index, 0, IFF_UP);
  set_alias(pod, "released");
  u32(IFLA_GROUP, DYING_GROUP);
  flush(route_socket, 1, NULL);
  genuine_all(pod, NFT_MSG_DELSETELEM, 0);
}

/* What ends an address's cooling later: part of no call. */
static void free_addresses(struct pod *pod) {
  pod_route(RTM_DELROUTE, NLM_F_ACK, FAMILY_4, pod->address4, 0);
  if (dual) pod_route(RTM_DELROUTE, NLM_F_ACK, FAMILY_6, pod->address6, 0);
  flush(route_socket, 1 + dual, NULL);
}

/* ---- requests ---- */

/* 24 bits of the container id are the pod's addresses, 40 its link's name. */
static void describe(struct pod *pod, const char *container_id, const char *netns, const char *ifname) {
  unsigned id = 0;
  char digits[7] = {0};
  memcpy(digits, container_id, 6);
  sscanf(digits, "%x", &id);
  *pod = (struct pod){.netns = netns, .ifname = ifname};
  snprintf(pod->host, sizeof pod->host, "cw%.12s", container_id);
  unsigned char bytes[3] = {(unsigned char)(id >> 16), (unsigned char)(id >> 8), (unsigned char)id};
  pod->address4[0] = 10;
  memcpy(pod->address4 + 1, bytes, 3);
  memcpy(pod->address6, (unsigned char[4]){0x20, 0x01, 0x0d, 0xb8}, 4);
  memcpy(pod->address6 + 13, bytes, 3);
  memcpy(pod->link_local, (unsigned char[2]){0xfe, 0x80}, 2);
  memcpy(pod->link_local + 13, bytes, 3);
  memcpy(pod->host_mac, (unsigned char[3]){2, 0, 1}, 3);
  memcpy(pod->host_mac + 3, bytes, 3);
  memcpy(pod->pod_mac, (unsigned char[3]){2, 0, 2}, 3);
  memcpy(pod->pod_mac + 3, bytes, 3);
}

/* Frame version 1 of cni/shim.c, of which only the variables are looked at. */
static const char *variable(const char *frame, size_t size, const char *name) {
  for (const char *at = frame + 12; at < frame + size; at += strlen(at) + 1)
    if (strncmp(at, name, strlen(name)) == 0) return at + strlen(name);
  die(name);
  return NULL;
}

static void serve(int client) {
  static char frame[65536];
  static const char answer[] = "\1\0\0\0\0\0\0\3{}\n";
  ssize_t got = recv(client, frame, sizeof frame - 1, 0);
  if (got < 12) die("frame");
  size_t size = 12 + ntohl(*(unsigned *)(frame + 4));
  struct pod pod;
  int is_add = strcmp(variable(frame, size, "CNI_COMMAND="), "ADD") == 0;
  describe(&pod, variable(frame, size, "CNI_CONTAINERID="), variable(frame, size, "CNI_NETNS="), variable(frame, size, "CNI_IFNAME="));
  if (is_add) add(&pod);
  else del(&pod);
  if (send(client, answer, sizeof answer - 1, MSG_NOSIGNAL) < 0) die("answer");
  close(client);
  if (is_add) return;
  pthread_t thread;
  free_addresses(&pod);
  if (pthread_create(&thread, NULL, remove_link, (void *)(long)pod.host_index) != 0) die("thread");
  pthread_detach(thread);
}

static void listen_on(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 511) < 0) die(path);
  for (;;) serve(accept(fd, NULL, NULL));
}

int main(int count, char **arguments) {
  dual = count < 3;
  route_socket = open_netlink(NETLINK_ROUTE);
  nft_socket = open_netlink(NETLINK_NETFILTER);
  home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (strcmp(arguments[count - 1], "exec") != 0) listen_on(arguments[count - 1]);
  struct pod pod;
  describe(&pod, getenv("CNI_CONTAINERID"), getenv("CNI_NETNS"), getenv("CNI_IFNAME"));
  if (strcmp(getenv("CNI_COMMAND"), "ADD") == 0) add(&pod);
  else del(&pod);
  return 0;
}
