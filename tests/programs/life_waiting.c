/* Waits in epoll_wait without a timeout in some threads; says how often a wait was interrupted, when told to end. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

static atomic_int interrupted;
static int queue;

static void *wait_for_ever(void *unused)
{
    struct epoll_event event;

    while (epoll_wait(queue, &event, 1, -1) == -1 && errno == EINTR)
        interrupted++;
    return unused;
}

int main(void)
{
    pthread_t thread[8];
    struct epoll_event input = {.events = EPOLLIN};
    char byte;

    queue = epoll_create1(0);
    for (int i = 0; i < 8; i++)
        pthread_create(&thread[i], NULL, wait_for_ever, NULL);
    puts("waiting");
    fflush(stdout);
    read(0, &byte, 1);
    epoll_ctl(queue, EPOLL_CTL_ADD, 0, &input);
    for (int i = 0; i < 8; i++)
        pthread_join(thread[i], NULL);
    printf("interrupted %d times\n", interrupted);
    return 0;
}
