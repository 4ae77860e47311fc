/* Ways of changing a map that a model gets wrong most easily. Each case is one way; it ends with 0, or 77 when
 * this kernel or machine does not have it. */
#include "case.h"
#include <linux/aio_abi.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/uio.h>
#include <sys/wait.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

static long read_implies_exec(void)
{
	char *page;

	need(personality(READ_IMPLIES_EXEC) != -1, "the personality");
	page = map(4 * PAGE, R);
	need(mprotect(page + PAGE, PAGE, RW) == 0 && mprotect(page + 2 * PAGE, PAGE, PROT_NONE) == 0, "protections");
	map(PAGE, PROT_WRITE);
	return mprotect(page + 2 * PAGE, PAGE, R);
}

static __attribute__((noinline)) int deep(int levels)
{
	volatile char frame[2 * PAGE];

	frame[0] = (char)levels;
	return levels ? deep(levels - 1) + frame[0] : 0;
}

static long stack_growth(void)
{
	deep(200);
	map(PAGE, RW);
	deep(400);
	return munmap(map(PAGE, R), PAGE);
}

static long stack_split(void)
{
	volatile char frame[100 * PAGE];
	char *page = (char *)(((unsigned long)frame + 20 * PAGE) & -(unsigned long)PAGE);

	frame[0] = 1;
	return mprotect(page, PAGE, R);
}

static long grows_down(void)
{
	char *room = map(512 * PAGE, PROT_NONE), *top = room + 448 * PAGE;

	need(munmap(room, 512 * PAGE) == 0, "room");
	need(mmap(top, PAGE, RW, ANON | MAP_GROWSDOWN | MAP_FIXED, -1, 0) == top, "a growing mapping");
	for (int i = 0; i < 16; i++)
		*(volatile char *)(top - i * PAGE) = 1;
	map(PAGE, R);
	need(mprotect(top - 4 * PAGE, PAGE, R) == 0, "a split of what grew");
	return mprotect(top, PAGE, R | PROT_GROWSDOWN);
}

static long shared_segment(void)
{
	int id = shmget(IPC_PRIVATE, 8 * PAGE, 0600);
	char *first, *second;

	need(id != -1, "a segment");
	first = shmat(id, NULL, 0);
	second = shmat(id, NULL, SHM_RDONLY);
	shmctl(id, IPC_RMID, NULL);
	need(first != (void *)-1 && second != (void *)-1, "both attachments");
	need(mprotect(first + 2 * PAGE, 2 * PAGE, R) == 0, "a split");
	need(munmap(first + 5 * PAGE, PAGE) == 0, "a hole");
	need(shmat(id, second, SHM_REMAP) == second, "an attachment over another");
	need(shmdt(second) == 0, "letting one go");
	return shmdt(first);
}

static long aio_ring(void)
{
	aio_context_t small = 0, large = 0;

	need(syscall(SYS_io_setup, 8, &small) == 0 && syscall(SYS_io_setup, 512, &large) == 0, "two rings");
	return syscall(SYS_io_destroy, small) | syscall(SYS_io_destroy, large);
}

static long memory_file(void)
{
	int fd = memfd_create("twice", MFD_CLOEXEC);
	char *writable, *executable;

	need(fd != -1 && ftruncate(fd, 4 * PAGE) == 0, "a memfd");
	writable = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);
	executable = mmap(NULL, 2 * PAGE, RX, MAP_SHARED, fd, 2 * PAGE);
	need(writable != MAP_FAILED && executable != MAP_FAILED, "both views");
	*writable = 1;
	need(mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, PAGE) != MAP_FAILED, "a private view");
	return munmap(writable + PAGE, PAGE);
}

static long huge_pages_missing(void)
{
	return mmap_call(NULL, 1024 * 1024 * MIB, RW, ANON | MAP_HUGETLB, -1, 0) == -1 ? 0 : -1;
}

static long remap(void)
{
	char *room = map(64 * PAGE, PROT_NONE), *four = map(4 * PAGE, RW), *away, *file;

	four = mremap(four, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
	need(four != MAP_FAILED, "growing");
	need(mremap(four, 8 * PAGE, 2 * PAGE, 0) == four, "shrinking");
	away = mremap(four, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room + 8 * PAGE);
	need(away == room + 8 * PAGE, "moving to a place");
	need(mremap(away, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0) != MAP_FAILED, "moving the pages only");
	file = mmap(NULL, 2 * PAGE, R, MAP_SHARED, open_self(), 0);
	need(file != MAP_FAILED, "a shared file mapping");
	need(mremap(file, 0, PAGE, MREMAP_MAYMOVE) != MAP_FAILED, "showing it twice");
	return mremap(file + PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room + 32 * PAGE) == MAP_FAILED;
}

static long not_inherited(void)
{
	char *pages = map(6 * PAGE, RW);
	pid_t child;
	int status;

	need(madvise(pages + PAGE, 2 * PAGE, MADV_DONTFORK) == 0, "the advice");
	need(madvise(pages + 2 * PAGE, PAGE, MADV_DOFORK) == 0, "the advice taken back");
	child = fork();
	if (child == 0) {
		munmap(pages, PAGE);
		map(PAGE, R);
		_exit(0);
	}
	need(child > 0 && waitpid(child, &status, 0) == child, "a child");
	return status;
}

static long not_inherited_by_process_madvise(void)
{
	char *pages = map(4 * PAGE, RW);
	struct iovec part = {pages + PAGE, PAGE};
	int self = (int)syscall(SYS_pidfd_open, getpid(), 0), status;
	pid_t child;

	if (self < 0 || syscall(SYS_process_madvise, self, &part, 1L, MADV_DONTFORK, 0) != PAGE)
		return 77; /* with oneself any advice is taken since Linux 6.13 */
	child = fork();
	if (child == 0)
		_exit(mprotect(pages, PAGE, R));
	need(child > 0 && waitpid(child, &status, 0) == child, "a child");
	return status;
}

static long wiped_on_fork(void)
{
	char *pages = map(4 * PAGE, RW);
	pid_t child;
	int status;

	need(madvise(pages, PAGE, MADV_WIPEONFORK) == 0, "the advice");
	child = fork();
	if (child == 0)
		_exit(mprotect(pages, 2 * PAGE, R));
	need(child > 0 && waitpid(child, &status, 0) == child, "a child");
	return status;
}

static long protection_keys(void)
{
	char *pages = map(4 * PAGE, RW);
	long key = syscall(SYS_pkey_alloc, 0, 0);

	need(syscall(SYS_pkey_mprotect, pages, PAGE, R, -1) == 0, "the key -1");
	if (key == -1)
		return 0;
	need(syscall(SYS_pkey_mprotect, pages + PAGE, PAGE, RW, key) == 0, "a key");
	return syscall(SYS_pkey_free, key);
}

static long fixed_over_everything(void)
{
	char *room = map(16 * PAGE, RW);
	int fd = open_self();

	need(mmap(room + 2 * PAGE, PAGE, R, MAP_PRIVATE | MAP_FIXED, fd, PAGE) != MAP_FAILED, "a file page");
	need(mmap(room + 3 * PAGE, PAGE, R, MAP_PRIVATE | MAP_FIXED, fd, 2 * PAGE) != MAP_FAILED, "the next");
	need(mmap(room + 4 * PAGE, PAGE, RX, MAP_PRIVATE | MAP_FIXED, fd, 3 * PAGE) != MAP_FAILED, "one with X");
	need(mprotect(room + 2 * PAGE, 2 * PAGE, RW) == 0, "both writable");
	room[2 * PAGE] = 1;
	need(mmap(room + 3 * PAGE, 4 * PAGE, PROT_NONE, ANON | MAP_FIXED, -1, 0) != MAP_FAILED, "memory over it");
	return munmap(room + PAGE, 5 * PAGE);
}

static long break_up_and_down(void)
{
	unsigned long start = syscall(SYS_brk, 0);

	need(syscall(SYS_brk, start + 10 * PAGE + 5) == (long)(start + 10 * PAGE + 5), "a break amid a page");
	need(mprotect((void *)((start + PAGE) & ~(PAGE - 1)), PAGE, R) == 0, "a split heap");
	need(syscall(SYS_brk, start + 3 * PAGE) == (long)(start + 3 * PAGE), "a smaller heap");
	return syscall(SYS_brk, start + 4 * PAGE) != (long)(start + 4 * PAGE);
}

static const struct attempt cases[] = {
	{"read-implies-exec", read_implies_exec}, {"stack-growth", stack_growth}, {"grows-down", grows_down},
	{"stack-split", stack_split}, {"not-inherited-by-process-madvise", not_inherited_by_process_madvise},
	{"shared-segment", shared_segment}, {"aio-ring", aio_ring}, {"memory-file", memory_file},
	{"huge-pages-missing", huge_pages_missing}, {"remap", remap}, {"not-inherited", not_inherited},
	{"wiped-on-fork", wiped_on_fork}, {"protection-keys", protection_keys},
	{"fixed-over-everything", fixed_over_everything}, {"break-up-and-down", break_up_and_down},
};

int main(int argc, char **argv)
{
	return RUN(cases);
}
