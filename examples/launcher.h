/*
 * What the launchers share: a few words for writing a seccomp filter, and the
 * steps that install it and run the rest of the command line.
 */
#ifndef LAUNCHER_H
#define LAUNCHER_H

#define _GNU_SOURCE

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* One instruction each. A jump counts the instructions to skip. */
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define LOAD_ARGUMENT(n) LOAD(args[n])
#define LOAD_ARGUMENT_HIGH(n) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[n]) + 4)
#define MASK(bits) BPF_STMT(BPF_ALU | BPF_AND | BPF_K, bits)
#define IF_EQUAL(value, then, otherwise) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, then, otherwise)
#define IF_ANY_BIT(bits, then, otherwise) \
	BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, then, otherwise)
#define ANSWER(action) BPF_STMT(BPF_RET | BPF_K, action)

#define REFUSE(error) (SECCOMP_RET_ERRNO | ((error) & SECCOMP_RET_DATA))

#define INSTALL(program) install_filter(program, sizeof(program) / sizeof(program[0]))

static inline void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(125);
}

static inline void install_filter(struct sock_filter *program, unsigned short length)
{
	struct sock_fprog filter = {.len = length, .filter = program};

	/* Without this promise only root may install a filter. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		die("PR_SET_NO_NEW_PRIVS");
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) != 0)
		die("PR_SET_SECCOMP");
}

static inline int run_command(char **command)
{
	execvp(command[0], command);
	fprintf(stderr, "%s: %s\n", command[0], strerror(errno));
	return errno == ENOENT ? 127 : 126;
}

#endif
