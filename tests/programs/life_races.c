/*
 * Races that a tracer of memory calls can lose, each run often enough to be lost. The first argument names one. It ends
 * with 0.
 */
#include "case.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/wait.h>

#define ROUNDS 60
#define THREADS 4

static atomic_int over, ready;
/* In memory that all children share. */
static atomic_int *refused;

static void start(void *(*body)(void *), void *argument)
{
	pthread_attr_t attributes;
	pthread_t thread;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 64 * 1024);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	errno = pthread_create(&thread, &attributes, body, argument);
	need(errno == 0, "a thread");
}

static pid_t child_that_runs(void (*body)(void))
{
	pid_t child = fork();

	need(child != -1, "a child");
	if (child == 0)
		body();
	return child;
}

/* A little work and a little sleep, a different amount in every round, and then the kill. */
static long kill_again_and_again(void (*body)(void))
{
	for (int i = 0; i < ROUNDS; i++) {
		pid_t child = child_that_runs(body);

		for (int j = 0; j < 2 + i % 9; j++)
			munmap(map(PAGE, R), PAGE);
		usleep(73 * (useconds_t)i);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	/* Whoever lost its parent is ours: none of them may be left standing. */
	while (wait(NULL) > 0)
		;
	return 0;
}

static void ignore_fault(int number)
{
	(void)number;
}

static void fault_for_ever(void)
{
	/* The instruction is made again and again, and faults each time. */
	signal(SIGSEGV, ignore_fault);
	*(volatile char *)map(PAGE, PROT_NONE) = 1;
	_exit(1);
}

static long killed_amid_faults(void)
{
	return kill_again_and_again(fault_for_ever);
}

static void *sleep_for_ever(void *argument)
{
	for (;;)
		pause();
	return argument;
}

/* Whoever asks the leader why it was refused must not wait for its end: that is told after its threads' ends. */
static void fail_for_ever(void)
{
	char *page = map(PAGE, RW);

	refuse_exec_gain();
	start(sleep_for_ever, NULL);
	for (;;)
		mprotect(page, PAGE, RX);
}

static long killed_amid_refusals(void)
{
	return kill_again_and_again(fail_for_ever);
}

static void *become_itself(void *argument)
{
	execl("/proc/self/exe", "life_races", "thread-becomes-itself", NULL);
	return argument;
}

static long thread_becomes_itself(void)
{
	start(become_itself, NULL);
	sleep_for_ever(NULL);
	return 1;
}

static void exec_for_ever(void)
{
	thread_becomes_itself();
}

/* The thread that calls exec gets another number, and nothing tells of the one it had. */
static long killed_amid_thread_execs(void)
{
	return kill_again_and_again(exec_for_ever);
}

static void *fork_for_ever(void *argument)
{
	for (;;) {
		pid_t child = argument ? vfork() : fork();

		if (child == 0)
			_exit(0);
		if (child > 0)
			waitpid(child, NULL, 0);
	}
	return NULL;
}

static void fork_in_two_threads(void)
{
	start(fork_for_ever, (void *)1);
	fork_for_ever(NULL);
}

static long orphans_of_a_subreaper(void)
{
	need(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0, "a subreaper");
	return kill_again_and_again(fork_in_two_threads);
}

static void *advise_for_ever(void *argument)
{
	atomic_store(&ready, 1);
	for (int on = 0; !atomic_load(&over); on = !on)
		madvise(argument, PAGE, on ? MADV_DONTFORK : MADV_DOFORK);
	return NULL;
}

static long forks_amid_advice(void)
{
	char *memory = map(4 * PAGE, RW);

	start(advise_for_ever, memory + PAGE);
	while (!atomic_load(&ready))
		usleep(100);
	for (int i = 0; i < 4 * ROUNDS; i++) {
		pid_t child = fork();

		need(child != -1, "a child");
		if (child == 0) {
			map(PAGE, R);
			_exit(0);
		}
		waitpid(child, NULL, 0);
	}
	atomic_store(&over, 1);
	return 0;
}

/* All threads of the process are bound: making memory executable gets EPERM. */
static void refuse_for_all(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no new privileges");
	need(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0, "a filter");
}

static void *refuse_together(void *argument)
{
	atomic_fetch_add(&ready, 1);
	while (atomic_load(&ready) < THREADS)
		sched_yield();
	refuse_for_all();
	atomic_fetch_sub(&over, 1);
	return argument;
}

static void install_in_all_threads(void)
{
	atomic_store(&over, THREADS);
	for (int i = 0; i < THREADS; i++)
		start(refuse_together, NULL);
	while (atomic_load(&over) > 0)
		usleep(100);
	_exit(mprotect(map(PAGE, RW), PAGE, RX) == 0);
}

static long filters_at_once(void)
{
	for (int i = 0; i < 10; i++) {
		pid_t child = child_that_runs(install_in_all_threads);
		int status;

		need(waitpid(child, &status, 0) == child && status == 0, "a child that is refused");
	}
	return 0;
}

static void *try_a_little(void *argument)
{
	char *page = map(PAGE, RW);

	for (int i = 0; i < 3; i++)
		if (mprotect(page, PAGE, RX) == -1)
			atomic_fetch_add(refused, 1);
	munmap(page, PAGE);
	atomic_fetch_sub(&ready, 1);
	return argument;
}

static void *make_threads(void *argument)
{
	while (!atomic_load(&over))
		if (atomic_fetch_add(&ready, 1) < THREADS)
			start(try_a_little, NULL);
		else
			atomic_fetch_sub(&ready, 1);
	atomic_fetch_add(&over, 1);
	return argument;
}

static void install_amid_births(void)
{
	start(make_threads, NULL);
	start(make_threads, NULL);
	usleep(10000);
	refuse_for_all();
	usleep(20000);
	atomic_store(&over, 1);
	while (atomic_load(&over) < 3 || atomic_load(&ready) > 0)
		usleep(100);
	_exit(0);
}

static long births_amid_filters(void)
{
	refused = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	need(refused != MAP_FAILED, "shared memory");
	for (int i = 0; i < 10; i++) {
		pid_t child = child_that_runs(install_amid_births);
		int status;

		need(waitpid(child, &status, 0) == child && status == 0, "a child that ends well");
	}
	printf("%d refused\n", atomic_load(refused));
	return 0;
}

static void *flip_for_ever(void *argument)
{
	for (int on = 0; !atomic_load(&over); on = !on)
		mprotect(argument, PAGE, on ? R : RW);
	return NULL;
}

static long slow_call_among_threads(void)
{
	for (int i = 0; i < 2; i++)
		start(flip_for_ever, map(PAGE, RW));
	for (int i = 0; i < 3; i++) {
		/* Mapped at once, and then filled for longer than anybody is made to wait. */
		void *memory = mmap(NULL, 192 * MIB, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

		need(memory != MAP_FAILED, "much memory");
		munmap(memory, 192 * MIB);
	}
	atomic_store(&over, 1);
	return 0;
}

static const struct attempt attempts[] = {
	{"killed-amid-faults", killed_amid_faults},
	{"killed-amid-refusals", killed_amid_refusals},
	{"killed-amid-thread-execs", killed_amid_thread_execs},
	{"thread-becomes-itself", thread_becomes_itself},
	{"orphans-of-a-subreaper", orphans_of_a_subreaper},
	{"forks-amid-advice", forks_amid_advice},
	{"filters-at-once", filters_at_once},
	{"births-amid-filters", births_amid_filters},
	{"slow-call-among-threads", slow_call_among_threads},
};

int main(int argc, char **argv)
{
	return RUN(attempts);
}
