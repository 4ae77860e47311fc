/* A program that lives on its own signals, as virtual machines do: it prints what each handler was told. */
#include "case.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>
#include <ucontext.h>

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif

static char *closed;
static volatile char selector;

static void tell(int number, siginfo_t *info, void *context)
{
	ucontext_t *state = context;

	selector = 0;
	printf("signal %d code %d errno %d", number, info->si_code, info->si_errno);
	if (number == SIGSEGV && info->si_code > 0)
		printf(" address %+ld", (long)((char *)info->si_addr - closed));
	if (number == SIGSYS)
		printf(" call %d arch %x here %d", info->si_syscall, info->si_arch,
		       (unsigned long)info->si_call_addr == (unsigned long)state->uc_mcontext.gregs[REG_RIP]);
	if (info->si_code == SI_QUEUE)
		printf(" value %d by me %d", info->si_value.sival_int, info->si_pid == getpid());
	printf("\n");
	if (number == SIGSEGV)
		mprotect(closed, PAGE, RW);
}

static void handle(int number)
{
	struct sigaction action = {.sa_sigaction = tell, .sa_flags = SA_SIGINFO};

	need(sigaction(number, &action, NULL) == 0, "a handler");
}

static void trap_calls(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgrp, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_remap_file_pages, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP | 42),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no new privileges");
	need(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0, "a filter");
}

int main(void)
{
	union sigval value = {.sival_int = 1234};

	setvbuf(stdout, NULL, _IOLBF, 0);
	handle(SIGSEGV);
	handle(SIGTRAP);
	handle(SIGSYS);
	handle(SIGUSR1);
	closed = map(PAGE, PROT_NONE);
	closed[16] = 1;
	__asm__ volatile("int3");
	__asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; nop; pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "cc");
	raise(SIGTRAP);
	sigqueue(getpid(), SIGUSR1, value);
	sigqueue(getpid(), SIGSEGV, value);
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, &selector) == 0) {
		selector = 1;
		syscall(SYS_munmap, closed, PAGE);
		prctl(PR_SET_SYSCALL_USER_DISPATCH, 0, 0, 0, 0);
	}
	trap_calls();
	printf("%ld\n", syscall(SYS_getpgrp));
	syscall(SYS_remap_file_pages, closed, PAGE, 0, 0, 0);
	puts("the end");
	return 0;
}
