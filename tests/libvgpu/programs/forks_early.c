/* SPDX-License-Identifier: Apache-2.0
 *
 * Children that were made before the parent used CUDA have sessions of their own, whatever other threads of
 * the parent looked up at that moment.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { THREADS = 3, CHILDREN = 8, TABLES = 200, CHILD_SECONDS = 100 };

static _Atomic int done;

static void *look_up(void *unused)
{
    CUdriverProcAddressQueryResult found;
    const void *table;
    void *address;
    CUuuid uuid;

    for (int i = 0; !atomic_load(&done); i++) {
        memset(&uuid, i % TABLES, sizeof uuid);
        cuGetExportTable(&table, &uuid);
        OK(cuGetProcAddress_v2("cuMemAlloc", &address, 12000, 0, &found));
        HOLDS(address);
    }
    return unused;
}

static void use(unsigned value)
{
    start();
    CUdeviceptr memory = device_memory(4);
    OK(cuMemcpyHtoD_v2(memory, &value, sizeof value));
    EXPECT(value, value_at(memory));
}

int main(void)
{
    pthread_t threads[THREADS];
    pid_t children[CHILDREN];

    for (int i = 0; i < THREADS; i++)
        HOLDS(pthread_create(&threads[i], NULL, look_up, NULL) == 0);
    for (unsigned i = 0; i < CHILDREN; i++) {
        HOLDS((children[i] = fork()) >= 0);
        if (children[i] == 0) {
            alarm(CHILD_SECONDS); /* a child that waits for a lock is killed, and its parent sees that */
            use(i);
            exit(0);
        }
    }
    use(77);
    for (int i = 0; i < CHILDREN; i++) {
        int status = -1;
        HOLDS(waitpid(children[i], &status, 0) == children[i]);
        HOLDS(WIFEXITED(status));
        EXPECT(0, WEXITSTATUS(status));
    }
    atomic_store(&done, 1);
    for (int i = 0; i < THREADS; i++)
        HOLDS(pthread_join(threads[i], NULL) == 0);
    return 0;
}
