/* Mappings that the descriptor behind them does not allow. */
#include "case.h"

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

static const struct attempt attempts[] = {
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
};

int main(int argc, char **argv)
{
	return RUN(attempts);
}
