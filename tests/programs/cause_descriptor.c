/* Mappings that the descriptor behind them does not allow. */
#include "case.h"
#include <linux/fs.h>
#include <sys/ioctl.h>

#ifndef MAP_SYNC
#define MAP_SYNC 0x80000
#endif
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

static int sealed_memfd(int seals)
{
	int fd = memfd_create("sealed", MFD_ALLOW_SEALING);

	need(fd != -1 && ftruncate(fd, PAGE) == 0 && fcntl(fd, F_ADD_SEALS, seals) == 0, "a sealed memfd");
	return fd;
}

static long write_mode_mmap(void) { return mmap_call(NULL, PAGE, RW, MAP_SHARED, open_self(), 0); }
static long write_mode_validate(void) { return mmap_call(NULL, PAGE, RW, MAP_SHARED_VALIDATE, open_self(), 0); }
static long write_mode_mprotect(void) { return mprotect(read_only_page(NULL), PAGE, RW); }
static long read_mode(void) { return mmap_call(NULL, PAGE, PROT_WRITE, MAP_SHARED, temporary_file(O_WRONLY), 0); }
static long read_mode_none(void) { return mmap_call(NULL, PAGE, PROT_NONE, MAP_PRIVATE, temporary_file(O_WRONLY), 0); }
static long seal_mmap(void) { return mmap_call(NULL, PAGE, RW, MAP_SHARED, sealed_memfd(F_SEAL_WRITE), 0); }
static long future_seal_mmap(void) { return mmap_call(NULL, PAGE, RW, MAP_SHARED, sealed_memfd(F_SEAL_FUTURE_WRITE), 0); }
static long closed(void) { return mmap_call(NULL, PAGE, R, MAP_PRIVATE, 99, 0); }
static long path_only(void) { return mmap_call(NULL, PAGE, R, MAP_PRIVATE, open("/proc/self/exe", O_PATH), 0); }
static long directory(void) { return mmap_call(NULL, PAGE, R, MAP_PRIVATE, open("/tmp", O_RDONLY), 0); }
static long overflow(void) { return mmap_call(NULL, PAGE, R, MAP_PRIVATE, open_self(), 0x7ffffffffffff000); }

static long seal_mprotect(void)
{
	void *page = mmap(NULL, PAGE, R, MAP_SHARED, sealed_memfd(F_SEAL_WRITE), 0);

	need(page != MAP_FAILED, "a view of the sealed memfd");
	return mprotect(page, PAGE, RW);
}

static int secret(void)
{
	int fd = syscall(SYS_memfd_secret, 0);

	need(fd != -1 && ftruncate(fd, PAGE) == 0, "secret memory");
	return fd;
}

static long secret_code(void) { return mmap_call(NULL, PAGE, RX, MAP_SHARED, secret(), 0); }
static long proc_code(void) { return mmap_call(NULL, PAGE, RX, MAP_PRIVATE, open("/proc/version", O_RDONLY), 0); }
static long pipe_mmap(void)
{
	int ends[2];

	need(pipe(ends) == 0, "a pipe");
	return mmap_call(NULL, PAGE, R, MAP_PRIVATE, ends[0], 0);
}

static long null_mmap(void) { return mmap_call(NULL, PAGE, R, MAP_PRIVATE, open("/dev/null", O_RDONLY), 0); }
static long driver_mmap(void) { return mmap_call(NULL, PAGE, R, MAP_PRIVATE, open("/proc/version", O_RDONLY), 0); }
static long no_dax(void) { return mmap_call(NULL, PAGE, RW, MAP_SHARED_VALIDATE | MAP_SYNC, temporary_file(O_RDWR), 0); }
static long secret_private(void) { return mmap_call(NULL, PAGE, RW, MAP_PRIVATE, secret(), 0); }

static long secret_mprotect(void)
{
	void *page = mmap(NULL, PAGE, RW, MAP_SHARED, secret(), 0);

	need(page != MAP_FAILED, "secret memory");
	return mprotect(page, PAGE, RX);
}

static long segment_mprotect(void)
{
	void *page = attach(segment(PAGE, 0600), NULL, SHM_RDONLY);

	need(page != (void *)-1, "an attached segment");
	return mprotect(page, PAGE, RW);
}

/* Kernel type information: mapped read-only, and its driver keeps it so. */
static long driver_mprotect(void)
{
	int fd = open("/sys/kernel/btf/vmlinux", O_RDONLY);
	void *page = fd == -1 ? MAP_FAILED : mmap(NULL, PAGE, R, MAP_PRIVATE, fd, 0);

	if (page == MAP_FAILED)
		exit(77);
	return mprotect(page, PAGE, RW);
}

static long driver_writable(void)
{
	int fd = open("/sys/kernel/btf/vmlinux", O_RDONLY);

	if (fd == -1)
		exit(77);
	return mmap_call(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
}

/* Needs root, and a file system that knows the attribute. */
static long append_only(void)
{
	char path[] = "/var/tmp/case-XXXXXX";
	int fd = mkstemp(path), flags;
	long answer = 0;

	need(fd != -1 && ftruncate(fd, PAGE) == 0, "a file");
	unlink(path);
	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0)
		exit(77);
	flags |= FS_APPEND_FL;
	if (ioctl(fd, FS_IOC_SETFLAGS, &flags) != 0)
		exit(77);
	answer = mmap_call(NULL, PAGE, R, MAP_SHARED, fd, 0);
	return answer;
}

/* No part of a ring has this offset; already io_uring_get_unmapped_area refuses it, with ENOMEM. */
static long uring_offset(void)
{
	unsigned int parameters[30] = {0};
	int fd = syscall(SYS_io_uring_setup, 4, parameters);

	need(fd >= 0, "a ring of io_uring");
	return mmap_call(NULL, PAGE, RW, MAP_SHARED, fd, 0x70000000);
}

/* A ring has a page and a power of two of them. */
static long perf_pages(void)
{
	unsigned int attr[32] = {1, 128};
	int fd = syscall(SYS_perf_event_open, attr, 0, -1, -1, 0);

	need(fd >= 0, "a perf event");
	return mmap_call(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);
}

static const struct attempt attempts[] = {
	{"uring-offset", uring_offset},
	{"perf-pages", perf_pages},
	{"write-mode-mmap", write_mode_mmap},
	{"write-mode-validate", write_mode_validate},
	{"write-mode-mprotect", write_mode_mprotect},
	{"read-mode", read_mode},
	{"read-mode-none", read_mode_none},
	{"seal-mmap", seal_mmap},
	{"future-seal-mmap", future_seal_mmap},
	{"seal-mprotect", seal_mprotect},
	{"closed", closed},
	{"path-only", path_only},
	{"directory", directory},
	{"overflow", overflow},
	{"secret-code", secret_code},
	{"proc-code", proc_code},
	{"secret-mprotect", secret_mprotect},
	{"secret-private", secret_private},
	{"segment-mprotect", segment_mprotect},
	{"pipe", pipe_mmap},
	{"null", null_mmap},
	{"driver-mmap", driver_mmap},
	{"driver-mprotect", driver_mprotect},
	{"driver-writable", driver_writable},
	{"no-dax", no_dax},
	{"append-only", append_only},
};

int main(int argc, char **argv)
{
	return RUN(attempts);
}
