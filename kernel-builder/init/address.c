/* SPDX-License-Identifier: Apache-2.0 */
/* The syntax of the kernel's `ip=` (Documentation/admin-guide/nfs/nfsroot.rst). */
#include <arpa/inet.h>
#include <string.h>

#include "init.h"

enum { CLIENT, SERVER, GATEWAY, NETMASK, HOSTNAME, DEVICE, AUTOCONF, DNS0, DNS1, FIELDS };

static bool parse_ipv4(const char *text, uint32_t *address)
{
    struct in_addr parsed = {0};
    if (*text && inet_pton(AF_INET, text, &parsed) != 1)
        return false;
    *address = parsed.s_addr;
    return true;
}

static bool copy_name(const char *text, char *to, size_t size)
{
    if (strlen(text) >= size)
        return false;
    strcpy(to, text);
    return true;
}

/* An address without a netmask has that of its old class, as the kernel has it. */
static uint32_t mask_of_class(uint32_t client)
{
    uint32_t first = ntohl(client) >> 24;
    return htonl(first < 128 ? 0xff000000 : first < 192 ? 0xffff0000 : 0xffffff00);
}

bool parse_address(const char *text, struct address *address)
{
    char copy[SETTING_BYTES_MAX];
    char *field[FIELDS], *rest = copy, none[] = "";
    memset(address, 0, sizeof *address);
    if (!copy_name(text, copy, sizeof copy))
        return false;
    for (int i = 0; i < FIELDS; i++)
        field[i] = rest ? strsep(&rest, ":") : none;
    bool good = parse_ipv4(field[CLIENT], &address->client) && address->client &&
                parse_ipv4(field[GATEWAY], &address->gateway) &&
                parse_ipv4(field[NETMASK], &address->netmask) &&
                parse_ipv4(field[DNS0], &address->dns[0]) &&
                parse_ipv4(field[DNS1], &address->dns[1]) &&
                copy_name(field[HOSTNAME], address->hostname, sizeof address->hostname) &&
                copy_name(field[DEVICE], address->device, sizeof address->device);
    if (!good)
        return false;
    if (!address->netmask)
        address->netmask = mask_of_class(address->client);
    if (!*address->device)
        strcpy(address->device, "eth0");
    return true;
}
