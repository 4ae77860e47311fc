/* Waits in every call that a stop interrupts, without a timeout and with one, in one thread each or as many as the first
 * argument says. It says how often each was interrupted when it is told to end (its standard input is closed). */
#include "case.h"
#include <linux/aio_abi.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/un.h>

#define LONG_SECONDS 1000

static int queue, semaphores, timed[2], untimed[2], listening;
static aio_context_t events;
static atomic_int started, over;
static const struct timespec long_time = {LONG_SECONDS, 0};

static long epoll_without(void)
{
	struct epoll_event event;

	return epoll_wait(queue, &event, 1, -1);
}

static long epoll_with(void)
{
	struct epoll_event event;

	return epoll_wait(queue, &event, 1, LONG_SECONDS * 1000);
}

static long semop_without(void)
{
	struct sembuf operation = {0, -1, 0};

	return semop(semaphores, &operation, 1);
}

static long semop_with(void)
{
	struct sembuf operation = {0, -1, 0};

	return semtimedop(semaphores, &operation, 1, &long_time);
}

static long signal_without(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return sigwaitinfo(&set, NULL);
}

static long signal_with(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return sigtimedwait(&set, NULL, &long_time);
}

static long events_without(void)
{
	struct io_event event;

	return syscall(SYS_io_getevents, events, 1, 1, &event, NULL);
}

static long read_without(void)
{
	char byte;

	return read(untimed[0], &byte, 1);
}

static long read_with(void)
{
	char byte;

	return read(timed[0], &byte, 1);
}

static long receive_with(void)
{
	char byte;

	return recv(timed[0], &byte, 1, 0);
}

static long receive_many_with(void)
{
	char byte;
	struct iovec piece = {&byte, 1};
	struct mmsghdr message = {.msg_hdr = {.msg_iov = &piece, .msg_iovlen = 1}};

	return recvmmsg(timed[0], &message, 1, 0, NULL);
}

static long accept_with(void)
{
	return accept(listening, NULL, NULL);
}

static const struct attempt waits[] = {
	{"epoll_wait for ever", epoll_without}, {"semop for ever", semop_without},
	{"rt_sigtimedwait for ever", signal_without}, {"io_getevents for ever", events_without},
	{"read for ever", read_without}, {"epoll_wait", epoll_with}, {"semtimedop", semop_with},
	{"rt_sigtimedwait", signal_with}, {"read", read_with}, {"recvfrom", receive_with},
	{"recvmmsg", receive_many_with}, {"accept", accept_with},
};
#define KINDS (sizeof(waits) / sizeof(waits[0]))
static atomic_int interrupted[KINDS];

static void *wait_in(void *kind)
{
	size_t i = (size_t)kind;

	atomic_fetch_add(&started, 1);
	while (waits[i].make() == -1 && errno == EINTR && !atomic_load(&over))
		atomic_fetch_add(&interrupted[i], 1);
	return NULL;
}

int main(int argc, char **argv)
{
	size_t each = argc > 1 ? (size_t)atoi(argv[1]) : 1;
	struct timeval limit = {LONG_SECONDS, 0};
	sigset_t set;
	pthread_t thread;
	char byte;

	sigfillset(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	queue = epoll_create1(0);
	semaphores = semget(IPC_PRIVATE, 1, 0600);
	need(semaphores != -1 && syscall(SYS_io_setup, 1, &events) == 0, "a semaphore and an AIO context");
	need(socketpair(AF_UNIX, SOCK_STREAM, 0, timed) == 0, "a pair of sockets");
	need(socketpair(AF_UNIX, SOCK_STREAM, 0, untimed) == 0, "a pair of sockets");
	listening = socket(AF_UNIX, SOCK_STREAM, 0);
	need(bind(listening, &(struct sockaddr){.sa_family = AF_UNIX}, sizeof(sa_family_t)) == 0, "an address");
	need(listen(listening, 1) == 0, "a listening socket");
	setsockopt(timed[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(listening, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	for (size_t i = 0; i < KINDS * each; i++)
		need(pthread_create(&thread, NULL, wait_in, (void *)(i % KINDS)) == 0, "a thread");
	while (atomic_load(&started) < (int)(KINDS * each))
		usleep(1000);
	puts("waiting");
	fflush(stdout);
	need(read(0, &byte, 1) == 0, "the end of the input");
	atomic_store(&over, 1);
	semctl(semaphores, 0, IPC_RMID);
	for (size_t i = 0; i < KINDS; i++)
		printf("%s: %d\n", waits[i].name, atomic_load(&interrupted[i]));
	fflush(stdout);
	_exit(0);
}
