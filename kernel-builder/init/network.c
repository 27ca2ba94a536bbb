/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/route.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "init.h"

static const char HOSTS[] = "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 %s\n";

static bool read_address(struct address *address)
{
    char text[SETTING_BYTES_MAX];
    if (!setting("ip", text, sizeof text))
        return false;
    if (parse_address(text, address))
        return true;
    say("vgpu.ip=%s is not client::gateway:netmask:hostname:device::dns:dns", text);
    return false;
}

static bool good_name(const char *name)
{
    size_t length = strlen(name);
    for (const char *at = name; *at; at++)
        if (!((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || *at == '-' ||
              *at == '.' || *at == '_' || (*at >= '0' && *at <= '9')))
            return false;
    return length > 0 && length < sizeof((struct address *)0)->hostname;
}

/* A setting, else the one in the address, else the name that the toolstack gave the domain. */
void set_hostname(void)
{
    char name[SETTING_BYTES_MAX] = "", hosts[SETTING_BYTES_MAX + sizeof HOSTS];
    struct address address;
    if (!setting("hostname", name, sizeof name) && read_address(&address))
        strcpy(name, address.hostname);
    if (!*name && !store_read("name", name, sizeof name))
        strcpy(name, "pod");
    if (!good_name(name)) {
        say("%s is no name for a host", name);
        strcpy(name, "pod");
    }
    if (sethostname(name, strlen(name)))
        complain("hostname %s", name);
    snprintf(hosts, sizeof hosts, HOSTS, name);
    FILE *file = fopen("/run/hosts", "we");
    if (!file || fputs(hosts, file) < 0 || fclose(file))
        complain("/run/hosts");
}

static void fill(struct sockaddr *to, uint32_t ipv4)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = ipv4};
    memcpy(to, &address, sizeof address);
}

static bool bring_up(int control, const char *device)
{
    struct ifreq request = {0};
    strncpy(request.ifr_name, device, IFNAMSIZ - 1);
    if (ioctl(control, SIOCGIFFLAGS, &request))
        return false;
    request.ifr_flags |= IFF_UP;
    return ioctl(control, SIOCSIFFLAGS, &request) == 0;
}

static bool set_ipv4(int control, const struct address *address)
{
    struct ifreq request = {0};
    strncpy(request.ifr_name, address->device, IFNAMSIZ - 1);
    fill(&request.ifr_addr, address->client);
    if (ioctl(control, SIOCSIFADDR, &request))
        return false;
    fill(&request.ifr_netmask, address->netmask);
    return ioctl(control, SIOCSIFNETMASK, &request) == 0 && bring_up(control, address->device);
}

static bool set_gateway(int control, const struct address *address)
{
    struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
    fill(&route.rt_dst, 0);
    fill(&route.rt_genmask, 0);
    fill(&route.rt_gateway, address->gateway);
    return ioctl(control, SIOCADDRT, &route) == 0;
}

static void set_resolver(const struct address *address)
{
    FILE *file = fopen("/run/resolv.conf", "we");
    for (int i = 0; file && i < 2; i++) {
        char text[INET_ADDRSTRLEN];
        if (address->dns[i] && inet_ntop(AF_INET, &address->dns[i], text, sizeof text))
            fprintf(file, "nameserver %s\n", text);
    }
    if (!file || fclose(file))
        complain("/run/resolv.conf");
}

void set_network(void)
{
    struct address address = {0};
    int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (control < 0) {
        complain("network");
        return;
    }
    if (!bring_up(control, "lo"))
        complain("lo");
    if (read_address(&address)) {
        if (!set_ipv4(control, &address))
            complain("%s", address.device);
        else if (address.gateway && !set_gateway(control, &address))
            complain("gateway of %s", address.device);
        set_resolver(&address);
    }
    close(control);
}
