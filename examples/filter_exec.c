/*
 * filter_exec [-e ERRNO | -k | -t | -n] COMMAND...
 *
 * Runs a command under a seccomp filter that refuses mprotect and
 * pkey_mprotect with PROT_EXEC:
 *   -e ERRNO  with this error number; 0 makes the call look granted (EPERM)
 *   -k        by killing the process
 *   -t        with the signal SIGSYS
 *   -n        by asking this program, which stays and answers (EPERM)
 *
 * mmap with PROT_EXEC stays allowed: the loader needs it to start anything.
 */
#include "launcher.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

/* The number of the listening descriptor, or -1 without SECCOMP_RET_USER_NOTIF. */
static int install(unsigned int action)
{
	struct sock_filter program[] = {
		LOAD(arch),
		IF_EQUAL(AUDIT_ARCH_X86_64, 0, 6),
		LOAD(nr),
		IF_EQUAL(SYS_mprotect, 1, 0),
		IF_EQUAL(SYS_pkey_mprotect, 0, 3),
		LOAD_ARGUMENT(2),
		IF_ANY_BIT(PROT_EXEC, 0, 1),
		ANSWER(action),
		ANSWER(SECCOMP_RET_ALLOW),
	};

	if (action != SECCOMP_RET_USER_NOTIF) {
		INSTALL(program);
		return -1;
	}

	struct sock_fprog filter = {sizeof(program) / sizeof(program[0]), program};
	int listener;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		die("PR_SET_NO_NEW_PRIVS");
	listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			   SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter);
	if (listener == -1)
		die("SECCOMP_FILTER_FLAG_NEW_LISTENER");
	return listener;
}

/* Refuse what the command asks for, until it has ended. */
static int answer(int listener, pid_t child)
{
	struct pollfd waiting[] = {
		{.fd = listener, .events = POLLIN},
		{.fd = syscall(SYS_pidfd_open, child, 0), .events = POLLIN},
	};
	int status;

	while (poll(waiting, 2, -1) > 0 && !waiting[1].revents) {
		struct seccomp_notif asked = {0};
		struct seccomp_notif_resp refused = {.error = -EPERM};

		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) == 0) {
			refused.id = asked.id;
			ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &refused);
		}
	}
	if (waitpid(child, &status, 0) != child)
		die("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
	unsigned int action = REFUSE(EPERM);
	int option, listener;

	/* The + leaves the command's own options alone. */
	while ((option = getopt(argc, argv, "+e:ktn")) != -1) {
		if (option == 'e')
			action = REFUSE(atoi(optarg));
		else if (option == 'k')
			action = SECCOMP_RET_KILL_PROCESS;
		else if (option == 't')
			action = SECCOMP_RET_TRAP;
		else if (option == 'n')
			action = SECCOMP_RET_USER_NOTIF;
		else
			return 2;
	}
	if (optind == argc) {
		fprintf(stderr, "usage: filter_exec [-e ERRNO | -k | -t | -n] COMMAND...\n");
		return 2;
	}
	listener = install(action);
	if (listener != -1) {
		pid_t child = fork();

		if (child == -1)
			die("fork");
		if (child != 0)
			return answer(listener, child);
		close(listener);
	}
	return run_command(argv + optind);
}
