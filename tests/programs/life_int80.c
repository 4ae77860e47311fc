/* i386 calls made by a 64-bit program. All memory is below 4 GiB, so that 32-bit arguments can name it. */
#include "case.h"
#include <sys/shm.h>

enum { OLD_MMAP = 90, MUNMAP = 91, IPC = 117, MPROTECT = 125, MMAP2 = 192, SHMAT = 21, SHMDT = 22 };

static long int80(long number, long b, long c, long d, long si, long di, long bp)
{
	long result;

	__asm__ volatile("push %%rbp\n\tmov %7, %%rbp\n\tint $0x80\n\tpop %%rbp"
			 : "=a"(result)
			 : "a"(number), "b"(b), "c"(c), "d"(d), "S"(si), "D"(di), "r"(bp)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)result < 0 && (int)result > -4096 ? (int)result : (long)(unsigned)result;
}

int main(void)
{
	unsigned *low = mmap(NULL, 4 * PAGE, RW, ANON | MAP_32BIT, -1, 0), *where = low + 64;
	int fd = open_self(), id = shmget(IPC_PRIVATE, 2 * PAGE, 0600);
	long first, second, file, refused;

	need(low != MAP_FAILED && id != -1, "low memory and a segment");
	first = int80(MMAP2, 0, 4 * PAGE, RW, ANON, -1, 0);
	need(first > 0, "mmap2");
	file = int80(MMAP2, 0, PAGE, R, MAP_PRIVATE, fd, 1);
	need(file > 0, "mmap2 of the second page of a file");
	low[0] = 0;
	low[1] = 2 * PAGE;
	low[2] = RW;
	low[3] = ANON;
	low[4] = ~0U;
	low[5] = 0;
	second = int80(OLD_MMAP, (long)low, 0, 0, 0, 0, 0);
	need(second > 0, "the old mmap");
	need(int80(MPROTECT, first + (long)PAGE, PAGE, RX, 0, 0, 0) == 0, "mprotect");
	need(int80(MUNMAP, second, PAGE, 0, 0, 0, 0) == 0, "munmap");
	/* The kernel wants an address it may place itself below 4 GiB: a fixed one. */
	need(int80(IPC, SHMAT, id, SHM_REMAP, (long)where, first, 0) == 0, "ipc(SHMAT)");
	shmctl(id, IPC_RMID, NULL);
	need(*where == (unsigned)first, "the attach address");
	need(int80(IPC, SHMDT, 0, 0, 0, (long)*where, 0) == 0, "ipc(SHMDT)");
	refuse_exec_gain();
	refused = int80(MPROTECT, (long)low + (long)PAGE, PAGE, RX, 0, 0, 0);
	printf("%ld\n", refused);
	return refused != -EACCES;
}
