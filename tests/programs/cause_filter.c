/*
 * Programs under a seccomp filter of their own. What is made executable gets the answer of the case; a child of
 * "listened", "let-on" and "listened-for-all" stays and listens. The two that are like somebody's take a command to
 * run under their filter, in the place of the call that it refuses.
 */
#include "case.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IS(value, then, otherwise) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, then, otherwise)
#define HAS(bits, then, otherwise) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, then, otherwise)
#define ANSWER(action) BPF_STMT(BPF_RET | BPF_K, action)
#define REFUSE(error) ANSWER(SECCOMP_RET_ERRNO | (error))
#define ALLOW ANSWER(SECCOMP_RET_ALLOW)

static char **command;

static long install(struct sock_filter *code, size_t length, unsigned flags)
{
	struct sock_fprog program = {length, code};
	long result;

	need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no new privileges");
	result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
	need(result >= 0, "a filter");
	/* What the program held is gone before anybody is refused. */
	memset(code, 0, length * sizeof(*code));
	return result;
}
static void run_command(void)
{
	if (!*command)
		return;
	execvp(command[0], command);
	need(0, command[0]);
}

#define INSTALL(code, flags) install(code, sizeof(code) / sizeof((code)[0]), flags)

static long for_execution(unsigned action, unsigned flags)
{
	struct sock_filter code[] = {
		LOAD(nr), IS(SYS_mprotect, 0, 3), LOAD(args[2]), HAS(PROT_EXEC, 0, 1), ANSWER(action), ALLOW,
	};

	return INSTALL(code, flags);
}

static long refused(void)
{
	char *page = map(PAGE, RW);

	for_execution(SECCOMP_RET_ERRNO | EACCES, 0);
	return mprotect(page, PAGE, RX);
}

static long faked(void)
{
	char *page = map(PAGE, RW);

	for_execution(SECCOMP_RET_ERRNO, 0);
	return mprotect(page, PAGE, RX);
}

static long killed(void)
{
	char *page = map(PAGE, RW);

	for_execution(SECCOMP_RET_KILL_PROCESS, 0);
	return mprotect(page, PAGE, RX);
}

static void handle(int number)
{
	(void)number;
}

static long trapped(void)
{
	char *page = map(PAGE, RW);

	for_execution(SECCOMP_RET_TRAP, 0);
	return mprotect(page, PAGE, RX);
}

/* As sandboxes do it: what the handler leaves in the place of a result is what the call returns. */
static long handled(void)
{
	char *page = map(PAGE, RW);

	signal(SIGSYS, handle);
	for_execution(SECCOMP_RET_TRAP, 0);
	mprotect(page, PAGE, RX);
	return 0;
}

/* A call that nobody follows. */
static long elsewhere(unsigned action)
{
	struct sock_filter code[] = {LOAD(nr), IS(SYS_getpriority, 0, 1), ANSWER(action), ALLOW};

	INSTALL(code, 0);
	return syscall(SYS_getpriority, 1, 2);
}

static long killed_elsewhere(void)
{
	return elsewhere(SECCOMP_RET_KILL_PROCESS);
}

static long trapped_elsewhere(void)
{
	return elsewhere(SECCOMP_RET_TRAP);
}

static long handled_elsewhere(void)
{
	signal(SIGSYS, handle);
	elsewhere(SECCOMP_RET_TRAP);
	return 0;
}

/* What systemd installs for MemoryDenyWriteExecute=yes where the kernel has no PR_SET_MDWE. */
static long like_a_service(void)
{
	struct sock_filter code[] = {
		LOAD(nr),
		IS(SYS_mmap, 0, 4),
		LOAD(args[2]),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, PROT_WRITE | PROT_EXEC),
		IS(PROT_WRITE | PROT_EXEC, 5, 0),
		ALLOW,
		IS(SYS_mprotect, 1, 0),
		ALLOW,
		LOAD(args[2]),
		HAS(PROT_EXEC, 0, 1),
		REFUSE(EPERM),
		ALLOW,
	};

	INSTALL(code, 0);
	run_command();
	return mmap_call(NULL, PAGE, RWX, ANON, -1, 0);
}

/* The default profile of docker and podman, as far as personality() goes. */
static long like_a_container(void)
{
	struct sock_filter code[] = {
		LOAD(nr), IS(SYS_personality, 1, 0), ALLOW, LOAD(args[0]), IS(0, 4, 0), IS(8, 3, 0),
		IS(0x20000, 2, 0), IS(0xffffffff, 1, 0), REFUSE(EPERM), ALLOW,
	};

	INSTALL(code, 0);
	run_command();
	return syscall(SYS_personality, 0x400000);
}

/* 4,096 instructions: the longest program there is. */
static long longest(void)
{
	static struct sock_filter code[4096];
	char *page = map(PAGE, RW);
	size_t last = sizeof(code) / sizeof(code[0]) - 1;

	code[0] = (struct sock_filter)LOAD(nr);
	for (size_t i = 1; i < last - 3; i++)
		code[i] = (struct sock_filter)IS(1000 + i, 0, 0);
	code[last - 3] = (struct sock_filter)IS(SYS_mprotect, 0, 2);
	code[last - 2] = (struct sock_filter)LOAD(args[2]);
	code[last - 1] = (struct sock_filter)HAS(PROT_EXEC, 0, 0);
	code[last] = (struct sock_filter)ALLOW;
	INSTALL(code, 0);
	for_execution(SECCOMP_RET_ERRNO | EPERM, 0);
	return mprotect(page, PAGE, RX);
}

/* A child that stays; it ends with its parent. */
static void listen_to(int listener, unsigned flags, int error)
{
	if (fork() != 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		struct seccomp_notif asked = {0};
		struct seccomp_notif_resp said = {.flags = flags, .error = -error};

		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) == 0) {
			said.id = asked.id;
			ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &said);
		}
	}
}

static long listened(void)
{
	char *page = map(PAGE, RW);

	listen_to(for_execution(SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER), 0, EACCES);
	return mprotect(page, PAGE, RX);
}

static long let_on(void)
{
	char *page = map(PAGE, RW);

	listen_to(for_execution(SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER),
		  SECCOMP_USER_NOTIF_FLAG_CONTINUE, 0);
	return mprotect(page, PAGE, RX);
}

static pthread_barrier_t barrier;
static long thread_refused;

static void *sibling(void *page)
{
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	thread_refused = mprotect(page, PAGE, RX) == -1 && errno == EACCES;
	return NULL;
}

/* A positive result of seccomp() is the listener here, and the siblings are bound all the same. */
static long listened_for_all(void)
{
	pthread_t thread;
	char *page = map(PAGE, RW);
	long listener;

	pthread_barrier_init(&barrier, NULL, 2);
	need(pthread_create(&thread, NULL, sibling, page) == 0, "a thread");
	pthread_barrier_wait(&barrier);
	listener = for_execution(SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER |
				 SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH);
	listen_to(listener, 0, EACCES);
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
	return thread_refused ? 0 : -1;
}

/* The filter's EACCES, and the kernel's own: once somebody has closed standard input. */
static long asked_again(void)
{
	char *page = map(PAGE, RW), *shared = read_only_page(NULL), byte;

	for_execution(SECCOMP_RET_ERRNO | EACCES, 0);
	while (read(0, &byte, 1) == 1)
		;
	mprotect(page, PAGE, RX);
	return mprotect(shared, PAGE, RW);
}

static const struct attempt cases[] = {
	{"refused", refused}, {"faked", faked}, {"killed", killed}, {"trapped", trapped},
	{"like-a-service", like_a_service}, {"like-a-container", like_a_container}, {"longest", longest},
	{"listened", listened}, {"let-on", let_on}, {"listened-for-all", listened_for_all},
	{"asked-again", asked_again}, {"handled", handled}, {"killed-elsewhere", killed_elsewhere},
	{"trapped-elsewhere", trapped_elsewhere}, {"handled-elsewhere", handled_elsewhere},
};

int main(int argc, char **argv)
{
	command = argv + (argc < 2 ? argc : 2);
	return RUN(cases);
}
