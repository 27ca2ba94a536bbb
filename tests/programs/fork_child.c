/* SPDX-License-Identifier: Apache-2.0
 *
 * A process that forks after it used CUDA: the child cannot use it, and does no harm to its parent.
 */
#include "driver.h"

#include <sys/wait.h>
#include <unistd.h>

enum { OK = 0, NOT_INITIALIZED = 3 };

static int in_child(uint64_t memory, void *context)
{
    int value = 0, count = 0, results[3];

    results[0] = CU(cuMemcpyDtoH_v2, &value, memory, sizeof(value));
    results[1] = CU(cuDeviceGetCount, &count);
    results[2] = CU(cuCtxSetCurrent, context);
    for (int i = 0; i < 3; i++)
        if (results[i] != NOT_INITIALIZED)
            fprintf(stderr, "call %d in the child: %d, not %d\n", i, results[i], NOT_INITIALIZED);
    return results[0] != NOT_INITIALIZED;
}

int main(void)
{
    void *context = NULL;
    uint64_t memory = 0;
    int value = 42, status = -1;

    EXPECT(OK, cuInit, 0);
    EXPECT(OK, cuDevicePrimaryCtxRetain, &context, 0);
    EXPECT(OK, cuCtxSetCurrent, context);
    EXPECT(OK, cuMemAlloc_v2, &memory, sizeof(value));
    EXPECT(OK, cuMemcpyHtoD_v2, memory, &value, sizeof(value));
    fflush(stdout);

    pid_t child = fork();

    if (child == 0)
        exit(in_child(memory, context));
    HOLDS(waitpid(child, &status, 0) == child);
    HOLDS(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    value = 0;
    EXPECT(OK, cuMemcpyDtoH_v2, &value, memory, sizeof(value));
    HOLDS(value == 42);
    EXPECT(OK, cuMemFree_v2, memory);
    EXPECT(OK, cuDevicePrimaryCtxRelease_v2, 0);
    return report("fork_child");
}
