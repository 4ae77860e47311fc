/*
 * What the programs named cause_*.c share. Each takes the name of one case, sets it up, makes one call and prints
 * the errno of that call (0 when it was granted); the name "all" stands for every case. It ends with
 *   0   the call was granted
 *   1   the call was refused
 *   2   the case could not be set up, or is not known
 *   77  this kernel does not have the call
 */
#ifndef CASE_H
#define CASE_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define PAGE 4096UL
#define MIB (1024UL * 1024)
#define R PROT_READ
#define RW (PROT_READ | PROT_WRITE)
#define RX (PROT_READ | PROT_EXEC)
#define RWX (PROT_READ | PROT_WRITE | PROT_EXEC)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

/* -1 and errno when the call was refused. */
struct attempt {
	const char *name;
	long (*make)(void);
};

static inline void need(int condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "cannot set up %s: %s\n", what, strerror(errno));
	exit(errno == ENOSYS ? 77 : 2);
}

static inline long mmap_call(void *at, size_t length, int prot, int flags, int fd, long offset)
{
	/* Not through the C library, which looks at some arguments itself. */
	return syscall(SYS_mmap, at, length, prot, flags, fd, offset);
}

static inline char *map(size_t length, int prot)
{
	char *memory = mmap(NULL, length, prot, ANON, -1, 0);

	need(memory != MAP_FAILED, "anonymous memory");
	return memory;
}

static inline int open_self(void)
{
	int fd = open("/proc/self/exe", O_RDONLY);

	need(fd != -1, "a descriptor of this program");
	return fd;
}

static inline int temporary_file(int flags)
{
	char path[] = "/tmp/case-XXXXXX";
	int first = mkstemp(path), fd;

	need(first != -1 && ftruncate(first, 4 * PAGE) == 0, "a temporary file");
	fd = open(path, flags);
	unlink(path);
	close(first);
	need(fd != -1, "a descriptor of it");
	return fd;
}

/* A shared page of a file opened for reading, at `at` (replacing what is there) or anywhere. */
static inline char *read_only_page(void *at)
{
	int fd = open_self();
	char *page = mmap(at, PAGE, R, MAP_SHARED | (at ? MAP_FIXED : 0), fd, 0);

	need(page != MAP_FAILED, "a read-only shared page");
	close(fd);
	return page;
}

static inline void seal(void *start, size_t length)
{
	need(syscall(SYS_mseal, start, length, 0) == 0, "a seal");
}

static inline void limit(int what, unsigned long bytes)
{
	struct rlimit both;

	need(getrlimit(what, &both) == 0, "a limit");
	both.rlim_cur = bytes;
	need(setrlimit(what, &both) == 0, "a limit");
}

/* From root to nobody: without capabilities, as most programs run. */
static inline void be_nobody(void)
{
	if (geteuid() == 0)
		need(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0, "another user");
}

static inline int segment(size_t length, int mode)
{
	int id = shmget(IPC_PRIVATE, length, mode);

	need(id != -1, "a shared memory segment");
	return id;
}

/* Attach and have the segment go with its last user, whatever came of it. */
static inline void *attach(int id, const void *at, int flags)
{
	void *memory = shmat(id, at, flags);
	int why = errno;

	shmctl(id, IPC_RMID, NULL);
	errno = why;
	return memory;
}

static inline void refuse_exec_gain(void)
{
	need(prctl(PR_SET_MDWE, 1, 0, 0, 0) == 0, "MDWE");
}

static inline long take(const struct attempt *attempt)
{
	long answer;

	errno = 0;
	answer = attempt->make();
	return answer == -1 ? errno : 0;
}

/* Every case in a process of its own, so that none is in the way of the next: "NAME PID ERRNO" a line. */
static inline int run_all(const struct attempt *attempts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int status;
		pid_t child = fork();

		need(child != -1, "a child");
		if (child == 0) {
			long answer = take(&attempts[i]);

			printf("%s %d %ld\n", attempts[i].name, getpid(), answer);
			fflush(stdout);
			_exit(answer != 0);
		}
		need(waitpid(child, &status, 0) == child, "the end of a child");
		if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
			printf("%s %d failed\n", attempts[i].name, child);
		fflush(stdout);
	}
	return 0;
}

static inline int run_case(const struct attempt *attempts, size_t count, int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "all") == 0)
		return run_all(attempts, count);
	for (size_t i = 0; i < count; i++) {
		long answer;

		if (argc < 2 || strcmp(attempts[i].name, argv[1]) != 0)
			continue;
		answer = take(&attempts[i]);
		printf("%ld\n", answer);
		return answer != 0;
	}
	fprintf(stderr, "no case called %s\n", argc < 2 ? "nothing" : argv[1]);
	return 2;
}

#define RUN(attempts) run_case(attempts, sizeof(attempts) / sizeof(attempts[0]), argc, argv)

#endif
