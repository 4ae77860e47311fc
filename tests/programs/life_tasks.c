/* Processes and threads that come and go in unusual ways. The first argument names the way; it ends with 0. */
#include "case.h"
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

extern char **environ;
static char *self;
static int count;
static char *shared;

static void wait_for(pid_t child)
{
	int status;

	need(child > 0 && waitpid(child, &status, __WALL) == child && status == 0, "a child that ends well");
}

static long vfork_and_exec(void)
{
	char *arguments[] = {self, "nothing", NULL};

	for (int i = 0; i < 5; i++) {
		pid_t child = vfork();

		if (child == 0) {
			execve(self, arguments, environ);
			_exit(1);
		}
		wait_for(child);
		map(PAGE, R);
	}
	return 0;
}

static long nothing(void)
{
	return 0;
}

static char child_stack[64 * 1024] __attribute__((aligned(16)));

static int map_here(void *argument)
{
	(void)argument;
	shared = map(4 * PAGE, RW);
	return mprotect(shared + PAGE, PAGE, R);
}

static long one_space_two_processes(void)
{
	wait_for(clone(map_here, child_stack + sizeof(child_stack), CLONE_VM | SIGCHLD, NULL));
	*shared = 1;
	return mprotect(shared + PAGE, PAGE, RW) | munmap(shared + 2 * PAGE, PAGE);
}

static pthread_t leader;

static void *exec_myself(void *leader_ends)
{
	char *arguments[] = {self, "nothing", NULL};

	if (leader_ends)
		pthread_join(leader, NULL);
	map(PAGE, R);
	execve(self, arguments, environ);
	exit(1);
}

static void *flip_for_ever(void *argument)
{
	char *page = map(PAGE, RW);

	for (;;)
		mprotect(page, PAGE, (random() & 1) ? R : RW);
	return argument;
}

static void start(pthread_t *thread, void *(*body)(void *), void *argument)
{
	pthread_attr_t attributes;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 64 * 1024);
	errno = pthread_create(thread, &attributes, body, argument);
	need(errno == 0, "a thread");
}

static long thread_executes(void)
{
	pthread_t thread;

	for (int i = 0; i < 3; i++)
		start(&thread, flip_for_ever, NULL);
	start(&thread, exec_myself, NULL);
	return pthread_join(thread, NULL);
}

static void *outlive_the_leader(void *argument)
{
	char *page = map(PAGE, RW);

	pthread_join(leader, NULL);
	for (int i = 0; i < 20; i++)
		mprotect(page, PAGE, i & 1 ? RW : R);
	puts("the last thread");
	exit(0);
	return argument;
}

static long leader_ends_first(void)
{
	pthread_t thread;

	leader = pthread_self();
	start(&thread, outlive_the_leader, NULL);
	pthread_exit(NULL);
}

static long leader_ends_and_a_thread_executes(void)
{
	pthread_t thread;

	leader = pthread_self();
	start(&thread, exec_myself, &leader);
	pthread_exit(NULL);
}

static pthread_barrier_t together;

static void *flip(void *argument)
{
	char *page = map(PAGE, RW);

	pthread_barrier_wait(&together);
	for (int i = 0; i < 10; i++)
		need(mprotect(page, PAGE, i & 1 ? RW : R) == 0, "a flip");
	munmap(page, PAGE);
	return argument;
}

static long threads_flip_at_once(void)
{
	pthread_t *threads = calloc((size_t)count, sizeof(*threads));

	pthread_barrier_init(&together, NULL, (unsigned)count);
	for (int i = 0; i < count; i++)
		start(&threads[i], flip, NULL);
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

static atomic_int over;

static void *map_and_unmap(void *argument)
{
	unsigned seed = (unsigned)(unsigned long)argument;

	while (!atomic_load(&over)) {
		size_t pages = 1 + (size_t)rand_r(&seed) % 8, first;
		char *memory = map(pages * PAGE, rand_r(&seed) & 1 ? RW : R);

		mprotect(memory, PAGE, rand_r(&seed) & 1 ? RX : R);
		first = rand_r(&seed) % pages;
		munmap(memory, first * PAGE);
		munmap(memory + first * PAGE, (pages - first) * PAGE);
	}
	return argument;
}

static long threads_map_at_once(void)
{
	pthread_t threads[16];

	for (unsigned long i = 0; i < 16; i++)
		start(&threads[i], map_and_unmap, (void *)i);
	sleep((unsigned)count);
	atomic_store(&over, 1);
	for (int i = 0; i < 16; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

static long short_processes(void)
{
	for (int i = 0; i < count; i++) {
		pid_t child = fork();

		if (child == 0) {
			munmap(map(PAGE, R), PAGE);
			_exit(0);
		}
		wait_for(child);
	}
	return 0;
}

static long many_at_once(void)
{
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < count; i++) {
			pid_t child = fork();

			need(child != -1, "a child");
			if (child == 0) {
				pid_t grandchild = fork();

				map(PAGE, R);
				if (grandchild > 0)
					waitpid(grandchild, NULL, 0);
				_exit(0);
			}
		}
		while (wait(NULL) > 0)
			;
	}
	return 0;
}

static long killed_amid_calls(void)
{
	for (int i = 0; i < count; i++) {
		pid_t child = fork();

		need(child != -1, "a child");
		if (child == 0) {
			pthread_t thread;

			start(&thread, flip_for_ever, NULL);
			flip_for_ever(NULL);
		}
		for (int j = 0; j < i % 7; j++)
			munmap(map(PAGE, R), PAGE);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	return 0;
}

static void *fork_for_ever(void *argument)
{
	for (;;)
		if (fork() == 0)
			_exit(0);
	return argument;
}

static long killed_while_forking(void)
{
	for (int i = 0; i < count; i++) {
		pid_t child = fork();

		need(child != -1, "a child");
		if (child == 0) {
			pthread_t thread;

			signal(SIGCHLD, SIG_IGN);
			start(&thread, fork_for_ever, NULL);
			fork_for_ever(NULL);
		}
		for (int j = 0; j < 3 + i % 5; j++)
			munmap(map(PAGE, R), PAGE);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	return 0;
}

/* Untraced children must neither hang nor find the memory calls gone. */
static int use_memory(void *argument)
{
	(void)argument;
	return munmap(map(PAGE, R), PAGE);
}

static long untraced_by_clone(void)
{
	wait_for(clone(use_memory, child_stack + sizeof(child_stack), CLONE_UNTRACED | SIGCHLD, NULL));
	return 0;
}

static long untraced_by_clone3(void)
{
	struct clone_args arguments = {.flags = CLONE_UNTRACED, .exit_signal = SIGCHLD};
	long child = syscall(SYS_clone3, &arguments, sizeof(arguments));

	if (child == 0)
		_exit(use_memory(NULL));
	need(arguments.flags == CLONE_UNTRACED, "arguments left as they were");
	wait_for((pid_t)child);
	return 0;
}

static long closes_everything(void)
{
	need(close_range(0, ~0U, 0) == 0, "no descriptor");
	return munmap(map(PAGE, R), PAGE);
}

static long becomes_a_daemon(void)
{
	int gone[2];
	char byte;
	pid_t child;

	need(pipe(gone) == 0, "a pipe");
	child = fork();
	if (child > 0) {
		/* The daemon stands on its own once it has closed its end. */
		close(gone[1]);
		need(read(gone[0], &byte, 1) == 0, "the end of the pipe");
		return 0;
	}
	setsid();
	need(freopen("/dev/null", "w", stdout) != NULL && freopen("/dev/null", "w", stderr) != NULL, "no output");
	close(0);
	close(gone[0]);
	close(gone[1]);
	/* Goes on until it is told to end: the file named by `self` is gone. */
	while (access(self, F_OK) == 0) {
		struct timespec moment = {0, 20 * 1000 * 1000};

		munmap(map(PAGE, R), PAGE);
		nanosleep(&moment, NULL);
	}
	_exit(use_memory(NULL));
}

static const struct attempt cases[] = {
	{"nothing", nothing}, {"vfork-and-exec", vfork_and_exec}, {"one-space-two-processes", one_space_two_processes},
	{"thread-executes", thread_executes}, {"leader-ends-first", leader_ends_first},
	{"leader-ends-and-a-thread-executes", leader_ends_and_a_thread_executes},
	{"threads-flip-at-once", threads_flip_at_once}, {"threads-map-at-once", threads_map_at_once},
	{"short-processes", short_processes}, {"many-at-once", many_at_once}, {"killed-amid-calls", killed_amid_calls},
	{"killed-while-forking", killed_while_forking}, {"untraced-by-clone", untraced_by_clone},
	{"untraced-by-clone3", untraced_by_clone3}, {"closes-everything", closes_everything},
	{"becomes-a-daemon", becomes_a_daemon},
};

int main(int argc, char **argv)
{
	self = argc > 3 ? argv[3] : "/proc/thread-self/exe"; /* which a leader's zombie has not */
	count = argc > 2 ? atoi(argv[2]) : 1;
	return RUN(cases);
}
