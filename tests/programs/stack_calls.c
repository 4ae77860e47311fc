/*
 * A refused call from a known place: mprotect wants to make a shared mapping of a read-only file writable. It is made
 * by innermost_caller, that by outer_caller, and that by
 *   main             main itself
 *   thread           thread_body, in another thread
 *   signal           on_signal, which handles a signal that main raised
 *   dlopen LIBRARY   main again, but both functions are those of LIBRARY (this file, compiled with -DLIBRARY)
 *   text-mapped-twice
 *                    main again, after it mapped its own code a second time
 *   int80            innermost_caller asks with `int 0x80` (64-bit code)
 *   anonymous        code in anonymous memory asks, called by main
 *   waiting          main, once for each line of input
 *   nothing          nobody: what is asked for is granted, at the end of the input
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096UL
/* Something is left to do behind each call, so that it is no jump. */
#define AND_THEN __asm__ volatile("" ::: "memory")
#define KEPT __attribute__((noinline, noclone))

KEPT int innermost_caller(void *page)
{
	int result = mprotect(page, PAGE, PROT_READ | PROT_WRITE);
	AND_THEN;
	return result;
}

KEPT int outer_caller(void *page)
{
	int result = innermost_caller(page);
	AND_THEN;
	return result;
}

#ifndef LIBRARY

static void *page;

KEPT static void *thread_body(void *unused)
{
	outer_caller(page);
	AND_THEN;
	return unused;
}

KEPT static void on_signal(int number)
{
	(void)number;
	outer_caller(page);
	AND_THEN;
}

#ifdef __x86_64__
KEPT static int ask_as_i386(void *low)
{
	int result;

	__asm__ volatile("int $0x80" : "=a"(result) : "0"(125), "b"((uint32_t)(uintptr_t)low), "c"(PAGE), "d"(3) : "memory");
	return result;
}

KEPT static void ask_from_anonymous_memory(void)
{
	/* push %rbp; mov %rsp,%rbp; mov $10,%eax (mprotect); syscall; pop %rbp; ret */
	static const unsigned char code[] = { 0x55, 0x48, 0x89, 0xe5, 0xb8, 10, 0, 0, 0, 0x0f, 0x05, 0x5d, 0xc3 };
	void *made = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memcpy(made, code, sizeof(code));
	((void (*)(void *, unsigned long, int))made)(page, PAGE, PROT_READ | PROT_WRITE);
	AND_THEN;
}
#endif

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "main";
	int fd = open("/proc/self/exe", O_RDONLY);
	char line[16];

	page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		return 2;
	if (!strcmp(how, "thread")) {
		pthread_t thread;

		pthread_create(&thread, NULL, thread_body, NULL);
		pthread_join(thread, NULL);
	} else if (!strcmp(how, "signal")) {
		signal(SIGUSR1, on_signal);
		raise(SIGUSR1);
	} else if (!strcmp(how, "dlopen")) {
		void *library = dlopen(argv[2], RTLD_NOW);

		((int (*)(void *))dlsym(library, "outer_caller"))(page);
#ifdef __x86_64__
	} else if (!strcmp(how, "int80")) {
		ask_as_i386(mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_32BIT, fd, 0));
	} else if (!strcmp(how, "text-mapped-twice")) {
		extern const char __executable_start[];
		unsigned long text = ((unsigned long)main & -PAGE) - (unsigned long)__executable_start;

		mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, (off_t)text);
		outer_caller(page);
	} else if (!strcmp(how, "anonymous")) {
		ask_from_anonymous_memory();
#endif
	} else if (!strcmp(how, "waiting")) {
		while (puts("ready"), fflush(stdout), fgets(line, sizeof(line), stdin))
			outer_caller(page);
	} else if (!strcmp(how, "nothing")) {
		mprotect(page, PAGE, PROT_READ);
		puts("ready");
		fflush(stdout);
		return fgets(line, sizeof(line), stdin) ? 2 : 0;
	} else {
		outer_caller(page);
	}
	AND_THEN;
	return 0;
}

#endif
