/*
 * What stands behind a call in time. Takes the name of one case.
 *
 *   ladder      under MDWE: four ways to get a page of executable memory, of which the last works; runs code there.
 *               The third is a file that cannot be read, or one in a folder (the second argument) that is noexec
 *   in-vain     under MDWE: two ways, none of which works; exit status 1
 *   give-up     maps a library (the second argument) as the loader does, and unmaps it at once; exit status 1
 *   loaded      writes code to a file, and maps the file to run it
 *   across      a child maps a page of shared memory to run, the parent writes to it
 *   overflow    a thread runs over the end of its stack; dies
 *   too-deep    the main thread runs over the end of its stack; dies
 */
#include "case.h"

#include <elf.h>
#include <pthread.h>

static int answers(char *code, char *place)
{
	static const char return_42[] = "\xb8\x2a\x00\x00\x00\xc3";

	memcpy(place, return_42, sizeof(return_42));
	return ((int (*)(void))code)() == 42 ? 0 : 1;
}

static int rwx_and_flip_are_refused(void)
{
	char *page;

	need(prctl(PR_SET_MDWE, 1, 0, 0, 0) == 0, "MDWE");
	if (mmap(NULL, PAGE, RWX, ANON, -1, 0) != MAP_FAILED)
		return 0;
	page = map(PAGE, RW);
	return mprotect(page, PAGE, RX) != 0;
}

static int ladder(const char *folder)
{
	char *code, *place, path[4096];
	int fd;

	need(rwx_and_flip_are_refused(), "a refusal");
	if (folder) {
		snprintf(path, sizeof(path), "%s/ladder-XXXXXX", folder);
		fd = mkstemp(path);
		need(fd != -1 && ftruncate(fd, PAGE) == 0, "a file in the folder");
	} else {
		fd = temporary_file(O_WRONLY);
	}
	if (mmap(NULL, PAGE, RX, MAP_SHARED, fd, 0) != MAP_FAILED)
		return 2;
	fd = syscall(SYS_memfd_create, "jit", 0);
	need(fd != -1 && ftruncate(fd, PAGE) == 0, "a memfd");
	code = mmap(NULL, PAGE, RX, MAP_SHARED, fd, 0);
	place = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
	return code == MAP_FAILED || place == MAP_FAILED ? 1 : answers(code, place);
}

/* For libraries whose code is page-aligned in the file: what elf/dl-map-segments.h does, without the zero-filled rest. */
static int give_up(const char *path)
{
	int fd = open(path, O_RDONLY), i;
	unsigned long end = 0;
	char *start, head[PAGE];
	Elf64_Ehdr *header = (Elf64_Ehdr *)head;
	Elf64_Phdr *part;

	need(fd != -1 && read(fd, head, sizeof(head)) > 0, "a library");
	part = (Elf64_Phdr *)(head + header->e_phoff);
	for (i = 0; i < header->e_phnum; i++)
		if (part[i].p_type == PT_LOAD)
			end = (part[i].p_vaddr + part[i].p_memsz + PAGE - 1) & ~(PAGE - 1);
	start = mmap(NULL, end, R, MAP_PRIVATE, fd, 0);
	need(start != MAP_FAILED, "its first mapping");
	for (i = 0; i < header->e_phnum; i++) {
		unsigned long at = part[i].p_vaddr & ~(PAGE - 1);
		int prot = (part[i].p_flags & PF_R ? R : 0) | (part[i].p_flags & PF_W ? PROT_WRITE : 0) |
			   (part[i].p_flags & PF_X ? PROT_EXEC : 0);

		if (part[i].p_type == PT_LOAD && at)
			need(mmap(start + at, part[i].p_vaddr + part[i].p_filesz - at, prot, MAP_PRIVATE | MAP_FIXED, fd,
				  part[i].p_offset & ~(PAGE - 1)) != MAP_FAILED, "a segment");
	}
	close(fd);
	munmap(start, end);
	return 1;
}

static int loaded(void)
{
	int fd = temporary_file(O_RDWR);
	char *code;

	need(write(fd, "\xb8\x2a\x00\x00\x00\xc3", 6) == 6, "the code");
	code = mmap(NULL, PAGE, RX, MAP_PRIVATE, fd, 0);
	return code == MAP_FAILED || ((int (*)(void))code)() != 42;
}

static int across(void)
{
	int fd = temporary_file(O_RDWR), status, ready[2];
	char *place, byte = 0;

	need(pipe(ready) == 0, "a pipe");
	if (fork() == 0) {
		char *code = mmap(NULL, PAGE, RX, MAP_SHARED, fd, 0);

		/* Not before the parent has written. */
		_exit(code == MAP_FAILED || read(ready[0], &byte, 1) != 1 || ((int (*)(void))code)() != 42);
	}
	place = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
	need(place != MAP_FAILED, "a writable view");
	memcpy(place, "\xb8\x2a\x00\x00\x00\xc3", 6);
	need(write(ready[1], &byte, 1) == 1, "a word to the child");
	wait(&status);
	return status != 0;
}

static int deeper(int n)
{
	volatile char room[2048];

	room[0] = (char)n;
	return deeper(n + 1) + room[0];
}

static void *run_over(void *none)
{
	deeper(0);
	return none;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	pthread_t thread;

	if (!strcmp(name, "ladder"))
		return ladder(argv[2]);
	if (!strcmp(name, "in-vain"))
		return rwx_and_flip_are_refused() ? 1 : 2;
	if (!strcmp(name, "give-up"))
		return give_up(argv[2]);
	if (!strcmp(name, "loaded"))
		return loaded();
	if (!strcmp(name, "across"))
		return across();
	if (!strcmp(name, "overflow"))
		return pthread_create(&thread, NULL, run_over, NULL) || pthread_join(thread, NULL);
	limit(RLIMIT_STACK, MIB);
	return deeper(0);
}
