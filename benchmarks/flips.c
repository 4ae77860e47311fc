/* Flips the protection of one page a number of times, in one or more threads. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

static long rounds;

static void *flip(void *unused)
{
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    for (long i = 0; i < rounds; i++)
        mprotect(page, 4096, i & 1 ? PROT_READ | PROT_WRITE : PROT_READ | PROT_EXEC);
    return unused;
}

int main(int argc, char **argv)
{
    int threads = argc > 2 ? atoi(argv[2]) : 1;
    pthread_t thread[64];

    rounds = argc > 1 ? atol(argv[1]) : 200000;
    for (int i = 1; i < threads && i < 64; i++)
        pthread_create(&thread[i], NULL, flip, NULL);
    flip(NULL);
    for (int i = 1; i < threads && i < 64; i++)
        pthread_join(thread[i], NULL);
    return 0;
}
