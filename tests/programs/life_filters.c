/* Programs that install seccomp filters of their own. Each prints what it got and ends with 0. */
#include "case.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/wait.h>

#define FLIPPERS 8
#define FLIPS 40

static atomic_long refused[FLIPPERS];
static atomic_int running;

/* The first argument's protection decides for mprotect: making memory executable gets `answer`. */
static void install(unsigned answer, unsigned flags)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, answer),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no new privileges");
	need(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) == 0, "a filter");
}

static long somebody_elses_trace(void)
{
	char *page = map(PAGE, RW);

	install(SECCOMP_RET_TRACE | 7, 0);
	errno = 0;
	return mprotect(page, PAGE, RX) == -1 && errno == ENOSYS && mprotect(page, PAGE, R) == 0 ? 0 : -1;
}

static long somebody_elses_trace_of_another_call(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE | 7),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no new privileges");
	need(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0, "a filter");
	return syscall(SYS_getppid) == -1 && errno == ENOSYS ? 0 : -1;
}

static void *flip(void *argument)
{
	long mine = (long)argument, count = 0;
	char *page = map(PAGE, RW);

	atomic_fetch_add(&running, 1);
	/* The filter comes in the middle: everyone goes on for a fixed number of flips after its first refusal. */
	for (int after = 0; after < FLIPS;) {
		if (mprotect(page, PAGE, RX) == -1)
			count++;
		if (count)
			after++;
		mprotect(page, PAGE, R);
	}
	atomic_store(&refused[mine], count);
	return NULL;
}

static long for_all_threads(void)
{
	pthread_t threads[FLIPPERS];
	long all = 0;

	for (long i = 0; i < FLIPPERS; i++)
		need(pthread_create(&threads[i], NULL, flip, (void *)i) == 0, "a thread");
	while (atomic_load(&running) < FLIPPERS)
		;
	install(SECCOMP_RET_ERRNO | EACCES, SECCOMP_FILTER_FLAG_TSYNC);
	for (int i = 0; i < FLIPPERS; i++) {
		pthread_join(threads[i], NULL);
		all += atomic_load(&refused[i]);
	}
	fprintf(stderr, "%ld refused\n", all);
	return 0;
}

static long in_a_child_only(void)
{
	char *page = map(PAGE, RW);
	pid_t child = fork();
	int status;

	if (child == 0) {
		install(SECCOMP_RET_ERRNO | EPERM, 0);
		_exit(mprotect(page, PAGE, RX) == -1 && errno == EPERM ? 0 : 1);
	}
	need(child > 0 && waitpid(child, &status, 0) == child && status == 0, "a child that is refused");
	return mprotect(page, PAGE, RX);
}

static long inherited_by_exec(void)
{
	install(SECCOMP_RET_ERRNO | EPERM, 0);
	execl("/proc/self/exe", "life_filters", "is-refused", NULL);
	return -1;
}

static long is_refused(void)
{
	return mprotect(map(PAGE, RW), PAGE, RX) == -1 && errno == EPERM ? 0 : -1;
}

static const struct attempt cases[] = {
	{"somebody-elses-trace", somebody_elses_trace},
	{"somebody-elses-trace-of-another-call", somebody_elses_trace_of_another_call}, {"for-all-threads", for_all_threads},
	{"in-a-child-only", in_a_child_only}, {"inherited-by-exec", inherited_by_exec}, {"is-refused", is_refused},
};

int main(int argc, char **argv)
{
	return RUN(cases);
}
