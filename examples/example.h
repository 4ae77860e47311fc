/*
 * What the examples share: they say what they ask for and how it went.
 *
 * The machine code is x86-64; so is the page size.
 */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#define _GNU_SOURCE

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096UL
#define MIB (1024UL * 1024)

enum exit_status {
	GRANTED = 0,   /* everything asked for was granted */
	REFUSED = 1,   /* something was refused, and the program noticed */
	NOT_HERE = 77, /* this machine cannot show the behaviour */
};

/* printf, but never lost in a buffer when the program crashes. */
#define say(...) (printf(__VA_ARGS__), (void)fflush(stdout))

/* Says how a call went, from errno when it failed; returns `granted`. */
static inline bool report(const char *call, bool granted)
{
	say("%s: %s\n", call, granted ? "ok" : strerror(errno));
	return granted;
}

/* Writes a function that returns `value`: mov eax, value; ret. */
static inline void emit_return(void *code, int value)
{
	unsigned char *byte = code;

	byte[0] = 0xb8;
	memcpy(byte + 1, &value, sizeof(value));
	byte[5] = 0xc3;
	/* No instruction on x86, but it keeps the compiler from dropping the stores. */
	__builtin___clear_cache((char *)code, (char *)code + 6);
}

/* Jumps to the code and says what it returned. */
static inline void call_code(void *code)
{
	int (*function)(void) = (int (*)(void))code;

	say("calling the code\n");
	say("the code returned %d\n", function());
}

/* A file of one page in $TMPDIR or /tmp, already unlinked; -1 if impossible. */
static inline int temporary_file(void)
{
	const char *directory = getenv("TMPDIR");
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/example-XXXXXX", directory ? directory : "/tmp");
	fd = mkstemp(path);
	if (!report("create a temporary file", fd != -1))
		return -1;
	unlink(path);
	return report("ftruncate", ftruncate(fd, PAGE) == 0) ? fd : -1;
}

/* Prints the protection of each page, as /proc/self/maps has it. */
static inline void show_pages(const char *when, const char *start, int pages)
{
	say("%s:", when);
	for (int i = 0; i < pages; i++) {
		unsigned long page = (unsigned long)start + i * PAGE;
		unsigned long low, high;
		char line[4096 + 128], perms[5], found[5] = "none";
		FILE *maps = fopen("/proc/self/maps", "r");

		while (maps && fgets(line, sizeof(line), maps))
			if (sscanf(line, "%lx-%lx %4s", &low, &high, perms) == 3 && low <= page && page < high)
				strcpy(found, perms);
		if (maps)
			fclose(maps);
		say(" %s", found);
	}
	say("\n");
}

#endif
