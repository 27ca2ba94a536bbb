/* SPDX-License-Identifier: Apache-2.0
 *
 * IDM, inter-domain messaging: the layout of the memory that a session shares, and the records in it.
 *
 * One region holds everything that front end and back end share. Each page has one writer:
 *
 *   header   written once by the back end, before the welcome
 *   front    the front end's: how far it has produced, and whether a slot's owner sleeps
 *   back     the back end's: how far it has consumed, whether it sleeps, the sticky error, freed chunks
 *   gauges   the back end's: how much of each stream's work is finished
 *   slots    one completion slot a waiting thread; the back end writes, the front end reads
 *   ring     request records, written by the front end
 *   staging  chunks for data that does not fit a record or a slot; whoever holds a chunk writes it
 *
 * Neither side trusts the other. Both keep their own index in private memory and never read it back from
 * the shared page; the reader copies a record out, checks the copy, and uses only the copy.
 */
#ifndef IDM_H
#define IDM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define IDM_MAGIC 0x56475055u /* "VGPU" */
#define IDM_VERSION 1u
#define IDM_SOCKET_NAME "proxy.sock"

enum {
    IDM_PAGE = 4096,
    IDM_RING_BYTES = 1 << 20,       /* power of two */
    IDM_RECORD_MAX = 64 << 10,      /* longest record, header included */
    IDM_SLOTS = 256,                /* threads of one session that wait at the same time */
    IDM_SLOT_BYTES = 4096,
    IDM_SLOT_DATA = IDM_SLOT_BYTES - 64,
    IDM_DOORBELLS = 64,             /* most slots with a doorbell; the others sleep and look again */
    IDM_CHUNK_BYTES = 512 << 10,
    IDM_CHUNKS = 32,
    IDM_PARAMS_MAX = 16,
    IDM_NO_SLOT = 0xffff,           /* a posted record */
    IDM_CALL_PAD = 0xffff,          /* filler up to the end of the ring */
    IDM_GAUGES = 4096,              /* streams of one session whose work is counted; 0 is none's */
    IDM_WORK_BYTES = 1024,          /* of a record; so much data counts as one work more */
};

/* Offsets in the region. */
enum {
    IDM_HEADER_AT = 0,
    IDM_FRONT_AT = IDM_PAGE,
    IDM_BACK_AT = 2 * IDM_PAGE,
    IDM_GAUGES_AT = 4 * IDM_PAGE,
    IDM_SLOTS_AT = IDM_GAUGES_AT + 4 * IDM_GAUGES,
    IDM_RING_AT = IDM_SLOTS_AT + IDM_SLOTS * IDM_SLOT_BYTES,
    IDM_STAGING_AT = IDM_RING_AT + IDM_RING_BYTES,
    IDM_REGION_BYTES = IDM_STAGING_AT + IDM_CHUNKS * IDM_CHUNK_BYTES,
};

struct idm_header {
    uint32_t magic;
    uint32_t version;
    uint64_t features;
    uint32_t region_bytes;
    uint32_t ring_bytes;
    uint32_t slots;
    uint32_t doorbells;
    uint32_t chunk_bytes;
    uint32_t chunks;
};

/* Written by the front end only. */
struct idm_front {
    _Atomic uint64_t produced;      /* bytes ever written to the ring */
    _Atomic uint32_t cpu;           /* CPU of the last producer, plus one */
    uint32_t reserved[13];
    _Atomic uint32_t parked[IDM_SLOTS]; /* 1: the slot's owner sleeps on its doorbell */
};

/* Written by the back end only. */
struct idm_back {
    _Atomic uint64_t consumed;      /* bytes ever read from the ring */
    _Atomic uint32_t cpu;           /* CPU of the worker, plus one */
    _Atomic uint32_t waiting;       /* 1: ring the doorbell after publishing */
    _Atomic uint32_t sticky;        /* CUresult of an error that ended the context, or 0 */
    _Atomic uint32_t late;          /* number of late errors so far: fetch them when it changes */
    _Atomic uint32_t output;        /* changes when kernels have printed: fetch the text */
    _Atomic uint32_t captures;      /* open ones: calls may be refused, and errors of posted ones wait */
    _Atomic uint32_t stream_works;  /* works that a stream may have unfinished; set before the welcome */
    uint32_t padding;
    uint64_t reserved[3];
    _Atomic uint32_t chunk_done[IDM_CHUNKS]; /* counts the releases of each chunk by the back end */
};

struct idm_slot {
    _Atomic uint32_t done;          /* sequence of the call answered last */
    int32_t status;                 /* CUresult */
    uint32_t bytes;                 /* of results, here or in the reply chunk */
    uint32_t reserved[13];
    uint8_t data[IDM_SLOT_DATA];
};

/* One call in the ring; parameter words and then variable data follow. Multiple of eight bytes. */
struct idm_record {
    uint32_t bytes;                 /* the whole record */
    uint16_t call;                  /* number of the row */
    uint16_t slot;                  /* where the answer goes, or IDM_NO_SLOT */
    uint32_t sequence;              /* of the slot's use */
    uint32_t thread;                /* number of the application's thread, from 1 */
    uint64_t context;               /* handle of the thread's current context, or 0 */
    uint32_t reply;                 /* staging chunk for results too long for the slot, plus one; or 0 */
    uint16_t flags;                 /* IDM_FLAG_* */
    uint16_t gauge;                 /* that counts this work, or 0 */
};

enum {
    IDM_FLAG_PER_THREAD = 1,        /* the null stream means the thread's own */
};

/* The handshake: one SOCK_SEQPACKET message each way, then only IDM_MSG_MEMORY from back to front. */
enum idm_message_type {
    IDM_MSG_HELLO = 1,              /* front to back */
    IDM_MSG_WELCOME = 2,            /* back to front, with descriptors */
    IDM_MSG_REFUSED = 3,            /* back to front: why there is no session */
    IDM_MSG_MEMORY = 4,             /* back to front, with one descriptor: pinned memory */
};

enum { IDM_TEXT_BYTES = 192 };

struct idm_hello {
    uint32_t type;
    uint32_t magic;
    uint32_t version_min, version_max;
    uint64_t features;
    uint64_t window_base;           /* where the front end has reserved the pinned window */
    uint64_t window_bytes;
    char program[IDM_TEXT_BYTES];   /* for logs only */
};

/* Descriptors of a welcome, in order: the region, the device snapshot (sealed, read only), the request
 * doorbell, then one doorbell for each of the first `doorbells` slots. A doorbell is an eventfd, or where its
 * entry in `ports` is not 0, a file of /dev/xen/evtchn with that local port. */
struct idm_welcome {
    uint32_t type;
    uint32_t magic;
    uint32_t version;
    uint32_t doorbells;
    uint64_t features;
    uint64_t session;               /* for logs only */
    uint64_t snapshot_bytes;
    char zone[64];
    uint32_t ports[1 + IDM_DOORBELLS]; /* of the doorbells, in the order of the descriptors */
    uint32_t padding;
};

struct idm_refused {
    uint32_t type;
    uint32_t reason;                /* enum idm_refusal */
    char text[IDM_TEXT_BYTES];
};

enum idm_refusal {
    IDM_REFUSED_VERSION = 1,
    IDM_REFUSED_WINDOW = 2,         /* the window is taken in the worker: try another base */
    IDM_REFUSED_SESSIONS = 3,       /* the zone has as many sessions as it may have */
    IDM_REFUSED_INTERNAL = 4,
    IDM_REFUSED_MALFORMED = 5,
};

struct idm_memory {
    uint32_t type;
    uint32_t reserved;
    uint64_t token;                 /* the number that the front end gave in its request */
    uint64_t bytes;
};

/* Handles: kind in the top byte, generation below it, index in the low 32 bits. */
#define IDM_HANDLE(kind, generation, index) \
    (((uint64_t)(kind) << 56) | ((uint64_t)(generation) << 32) | (uint64_t)(index))
#define IDM_HANDLE_KIND(handle) ((unsigned)((handle) >> 56))
#define IDM_HANDLE_GENERATION(handle) ((uint32_t)((handle) >> 32) & 0xffffffu)
#define IDM_HANDLE_INDEX(handle) ((uint32_t)(handle))
enum { IDM_HANDLE_MAX = 1 << 20 };  /* indexes of one session, over all kinds */

/* The device snapshot: what the front end answers about devices without asking. */
enum { IDM_DEVICES_MAX = 16, IDM_ATTRIBUTES = 256 };

struct idm_device {
    char name[256];
    uint8_t uuid[16];
    int32_t pci[3];                 /* domain, bus, device */
    int32_t compute[2];
    uint32_t reserved;
    uint64_t memory_bytes;          /* the quota, where there is one */
    uint8_t luid[8];
    uint32_t luid_mask;
    uint32_t luid_valid;
    int32_t attributes[IDM_ATTRIBUTES];       /* by CUdevice_attribute number */
    uint8_t attribute_valid[IDM_ATTRIBUTES];
};

struct idm_snapshot {
    uint32_t magic;
    uint32_t bytes;
    int32_t driver_version;
    int32_t device_count;
    struct idm_device devices[];
};

/* What a worker counts; in a page that the worker shares with the supervisor, not with the zone. */
struct idm_counters {
    _Atomic uint64_t calls;         /* records executed */
    _Atomic uint64_t posted;
    _Atomic uint64_t forwarded;     /* synchronous */
    _Atomic uint64_t bytes_in;      /* payload towards the device, pinned copies included */
    _Atomic uint64_t bytes_out;
    _Atomic uint64_t launches;
    _Atomic uint64_t errors;
    _Atomic uint64_t handles;
    _Atomic uint64_t device_bytes;
    _Atomic uint64_t host_bytes;
    _Atomic uint64_t busy_ns;       /* time in the executor */
    uint64_t reserved[53];
};

#endif
