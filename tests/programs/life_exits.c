/* Children that end in every way, and a parent that looks at once: it prints what it got of each. The first argument
 * names the way, the second how many children. It ends with 0. */
#include "case.h"
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif

static int count;

static void say(int status)
{
	if (WIFSIGNALED(status))
		printf("killed by %d\n", WTERMSIG(status));
	else
		printf("exit status %d\n", WEXITSTATUS(status));
}

/* As GLib's child watch and the kernel's kselftest harness do: poll the pidfd, then do not wait any more. */
static int status_at_once(pid_t child)
{
	struct pollfd end = {(int)syscall(SYS_pidfd_open, child, 0), POLLIN, 0};
	int status = -1;

	need(end.fd >= 0 && poll(&end, 1, -1) == 1, "a pidfd");
	close(end.fd);
	if (waitpid(child, &status, WNOHANG) == child)
		return status;
	printf("nothing to wait for\n");
	waitpid(child, &status, 0);
	return status;
}

static long every_child(void (*end)(void))
{
	for (int i = 0; i < count; i++) {
		pid_t child;

		fflush(stdout);
		child = fork();
		need(child != -1, "a child");
		if (child == 0) {
			end();
			_exit(99);
		}
		say(status_at_once(child));
	}
	return 0;
}

static void end_by_exit(void)
{
	_exit(7);
}

static long plain(void)
{
	return every_child(end_by_exit);
}

static void end_by_signal(void)
{
	raise(SIGTERM);
}

static long by_a_signal(void)
{
	return every_child(end_by_signal);
}

static void thread(void *(*body)(void *))
{
	pthread_t made;

	errno = pthread_create(&made, NULL, body, NULL);
	need(errno == 0, "a thread");
}

static pid_t leader;

static void *exit_behind_the_leader(void *argument)
{
	char path[64], letter = 0;

	/* Until the leader is a zombie. */
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", leader);
	while (letter != 'Z') {
		FILE *stat = fopen(path, "r");

		need(stat && fscanf(stat, "%*d %*s %c", &letter) == 1, "the leader's state");
		fclose(stat);
	}
	syscall(SYS_exit, 4);
	return argument;
}

static void end_leader_first(void)
{
	leader = (pid_t)syscall(SYS_gettid);
	thread(exit_behind_the_leader);
	syscall(SYS_exit, 3);
}

static long leader_first(void)
{
	return every_child(end_leader_first);
}

static atomic_int busy;

static void *map_for_ever(void *argument)
{
	atomic_fetch_add(&busy, 1);
	for (;;)
		munmap(map(PAGE, RW), PAGE);
	return argument;
}

static void end_amid_calls(void)
{
	atomic_store(&busy, 0);
	for (int i = 0; i < 6; i++)
		thread(map_for_ever);
	while (atomic_load(&busy) < 6)
		;
	_exit(5);
}

static long amid_calls(void)
{
	return every_child(end_amid_calls);
}

static void end_killed_amid_calls(void)
{
	atomic_store(&busy, 0);
	for (int i = 0; i < 6; i++)
		thread(map_for_ever);
	while (atomic_load(&busy) < 6)
		;
	kill(getpid(), SIGKILL);
}

static long killed_amid_calls(void)
{
	return every_child(end_killed_amid_calls);
}

static long looked_at_first(void)
{
	for (int i = 0; i < count; i++) {
		pid_t child = fork();
		siginfo_t info;
		int status;

		if (child == 0)
			_exit(6);
		for (int look = 0; look < 3; look++) {
			need(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == 0, "a child");
			need(info.si_pid == child && info.si_code == CLD_EXITED && info.si_status == 6, "its end");
		}
		need(waitpid(child, &status, WNOHANG) == child, "a zombie");
		say(status);
	}
	return 0;
}

/* Whoever made us has one child more. */
static long of_our_parent(void)
{
	struct clone_args arguments = {.flags = CLONE_PARENT};
	int gone[2];
	char byte;
	long child;

	need(pipe(gone) == 0, "a pipe");
	child = syscall(SYS_clone3, &arguments, sizeof(arguments));
	need(child != -1, "a sibling");
	if (child == 0)
		_exit(9);
	close(gone[1]);
	need(read(gone[0], &byte, 1) == 0, "its end");
	need(waitpid((pid_t)child, NULL, 0) == -1 && errno == ECHILD, "no child of ours");
	return 0;
}

/* Children that have all the same number, one after the other. */
static long number_used_again(void)
{
	pid_t number = fork();

	if (number == 0)
		_exit(0);
	need(waitpid(number, NULL, 0) == number, "a child");
	for (int i = 1; i <= count; i++) {
		struct clone_args arguments = {
			.exit_signal = SIGCHLD, .set_tid = (unsigned long)&number, .set_tid_size = 1};
		long child = syscall(SYS_clone3, &arguments, sizeof(arguments));

		if (child == -1 && errno == EPERM)
			return 77;
		need(child != -1, "a child with a number");
		if (child == 0) {
			munmap(map(PAGE, R), PAGE);
			_exit(i);
		}
		say(status_at_once((pid_t)child));
	}
	return 0;
}

static const struct attempt cases[] = {
	{"plain", plain}, {"by-a-signal", by_a_signal}, {"leader-first", leader_first}, {"amid-calls", amid_calls},
	{"killed-amid-calls", killed_amid_calls}, {"looked-at-first", looked_at_first},
	{"of-our-parent", of_our_parent}, {"number-used-again", number_used_again},
};

int main(int argc, char **argv)
{
	count = argc > 2 ? atoi(argv[2]) : 1;
	return RUN(cases);
}
