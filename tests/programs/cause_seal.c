/* What mseal blocks beside the operations of examples/mseal_ops.c: shared memory over it, pages remapped, brk. */
#include "case.h"
#include <sys/shm.h>

static long attach_over(void)
{
	char *page = map(PAGE, R);
	int id = shmget(IPC_PRIVATE, PAGE, 0600);
	void *attached;
	int why;

	need(id != -1, "a shared memory segment");
	seal(page, PAGE);
	attached = shmat(id, page, SHM_REMAP);
	why = errno;
	shmctl(id, IPC_RMID, NULL);
	errno = why;
	return (long)attached;
}

static long remap_pages(void)
{
	char *pages = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, temporary_file(O_RDWR), 0);

	need(pages != MAP_FAILED, "a shared file mapping");
	seal(pages, 2 * PAGE);
	return syscall(SYS_remap_file_pages, pages, PAGE, 0, 1, 0);
}

/* brk has no errno: the break stays where it was. */
static long lower_the_break(void)
{
	unsigned long start = (syscall(SYS_brk, 0) + PAGE - 1) & -PAGE;

	need(syscall(SYS_brk, start + 4 * PAGE) == (long)(start + 4 * PAGE), "a heap");
	seal((void *)(start + 2 * PAGE), PAGE);
	return syscall(SYS_brk, start + PAGE) == (long)(start + PAGE) ? 0 : -1;
}

static const struct attempt attempts[] = {
	{"shmat", attach_over},
	{"remap-file-pages", remap_pages},
	{"brk", lower_the_break},
};

int main(int argc, char **argv)
{
	return RUN(attempts);
}
