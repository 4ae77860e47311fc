/* Stays until it is told to end (its standard input is closed): to be attached to. The arguments: how many threads,
 * and optionally `mdwe` (their flips to executable memory are refused then), `leaderless`, `leaderless-executes` (this
 * program again, without threads, at the end of its input) or `leader-ends-later` (at SIGUSR1). Each thread checks every result; the sum of surprises is the exit status. */
#include "case.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

static atomic_int over, ready;
static atomic_long surprises;
static int expected;
static pthread_t leader;

static void *flip(void *argument)
{
	char *page = map(PAGE, RW);

	atomic_fetch_add(&ready, 1);
	while (!atomic_load(&over)) {
		int answer = mprotect(page, PAGE, RX) == 0 ? 0 : errno;

		if (answer != expected || mprotect(page, PAGE, R) != 0)
			atomic_fetch_add(&surprises, 1);
		usleep(2000);
	}
	return argument;
}

static void *wait_to_end(void *argument)
{
	char byte;

	if (argument)
		pthread_join(leader, NULL);
	puts("ready");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	if (argument && *(const char *)argument) {
		/* The zombie of a leader has no /proc/self/exe. */
		execl("/proc/thread-self/exe", "life_attached", "0", "over", NULL);
	}
	exit((int)atomic_load(&surprises));
	return NULL;
}

int main(int argc, char **argv)
{
	int count = atoi(argv[1]);
	pthread_t thread;
	sigset_t ending;
	int number;

	if (argc > 2 && strcmp(argv[2], "over") == 0)
		return 0;
	sigemptyset(&ending);
	sigaddset(&ending, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &ending, NULL);
	if (argc > 2 && strcmp(argv[2], "mdwe") == 0) {
		refuse_exec_gain();
		expected = EACCES;
	}
	for (int i = 0; i < count; i++)
		need(pthread_create(&thread, NULL, flip, NULL) == 0, "a thread");
	while (atomic_load(&ready) < count)
		usleep(100);
	if (argc > 2 && strcmp(argv[2], "leader-ends-later") == 0) {
		leader = pthread_self();
		need(pthread_create(&thread, NULL, wait_to_end, NULL) == 0, "a thread");
		sigwait(&ending, &number);
		pthread_exit(NULL);
	}
	if (argc > 2 && strncmp(argv[2], "leaderless", 10) == 0) {
		leader = pthread_self();
		need(pthread_create(&thread, NULL, wait_to_end, argv[2] + 10) == 0, "a thread");
		pthread_exit(NULL);
	}
	wait_to_end(NULL);
	return 0;
}
