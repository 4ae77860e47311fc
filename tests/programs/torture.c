/*
 * torture SEED SECONDS LOG
 *
 * A tree of processes and threads that does at random what a tracer of memory calls can get wrong. Every mmap,
 * mprotect, munmap, mremap and brk that fails is told to LOG, after it has come back, as one line
 *   =PID TID CALL ADDRESS LENGTH PROT ERRNO
 * so a task that is killed may lack its last line, and nothing else. It ends by itself, with 0, and leaves nobody
 * behind: about 40 tasks live at most (four children, each with two of its own, each with two more threads),
 * whoever loses its parent is killed by the kernel, and the first process reaps what is left.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define PAGE 4096L
#define MILLISECOND 1000000L
/* Far from where the kernel puts anything by itself, so a hole stays one until this program fills it. */
#define ARENA 0x200000000000L
#define ARENA_PAGES 64
#define FILE_PAGES 64

#define MOST_CHILDREN 4
#define CHILDREN_OF_A_CHILD 2
#define DEEPEST 2
#define MOST_THREADS 2
#define MOST_FILTERS 3
#define BLOCKS 8

/* Descriptors that last through every exec. */
enum { LOG = 200, DISK_FILE, MEMORY_FILE, READ_ONLY_FILE };

static char *self;
static long deadline;
static int depth, filters;
static long heap_end;
static atomic_int threads, inherited;
static atomic_int child_pid[MOST_CHILDREN];
/* Held while a child is made or reaped: a pid in the table must be a child's, or a stranger could be killed. */
static atomic_flag family = ATOMIC_FLAG_INIT;
/* Shared with the children: set once one dies with its parent, so it may be stopped from then on. */
static atomic_int *settled;
static char child_stack[64 * 1024] __attribute__((aligned(16)));
static atomic_flag child_stack_used = ATOMIC_FLAG_INIT;
static __thread uint64_t dice;
static __thread sigjmp_buf back;
static __thread volatile sig_atomic_t touching;
static __thread struct block {
	long start, pages;
} blocks[BLOCKS];

static unsigned roll(unsigned sides)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return (unsigned)(dice >> 20) % sides;
}

static uint64_t reseed(uint64_t seed)
{
	seed = (seed + 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9;
	return (seed ^ seed >> 29) | 1;
}

static long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000 * MILLISECOND + time.tv_nsec;
}

static void pause_for(long nanoseconds)
{
	struct timespec time = {.tv_nsec = nanoseconds};

	nanosleep(&time, NULL);
}

/* The answer of the kernel itself: negative errno, which no other user of this thread's errno can change. */
static long raw(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long answer;

	__asm__ volatile("syscall"
			 : "=a"(answer)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return answer;
}

static void tell(const char *call, long address, long length, long prot, long error)
{
	char line[160];
	/* A kill may cut the line off where a page of the file ends: the mark tells where the next one starts. */
	int size = snprintf(line, sizeof(line), "=%ld %ld %s %#lx %ld %ld %ld\n", raw(SYS_getpid, 0, 0, 0, 0, 0, 0),
			    raw(SYS_gettid, 0, 0, 0, 0, 0, 0), call, address, length, prot, error);

	raw(SYS_write, LOG, (long)line, size, 0, 0, 0);
}

static long checked(const char *call, long answer, long address, long length, long prot)
{
	if (answer < 0)
		tell(call, address, length, prot, -answer);
	return answer;
}

static long map(long at, long length, long prot, long flags, long fd, long offset)
{
	return checked("mmap", raw(SYS_mmap, at, length, prot, flags, fd, offset), at, length, prot);
}

static long unmap(long at, long length)
{
	return checked("munmap", raw(SYS_munmap, at, length, 0, 0, 0, 0), at, length, 0);
}

static long protect(long at, long length, long prot)
{
	return checked("mprotect", raw(SYS_mprotect, at, length, prot, 0, 0, 0), at, length, prot);
}

static long move(long at, long length, long new_length, long flags, long target)
{
	return checked("mremap", raw(SYS_mremap, at, length, new_length, flags, target, 0), at, length, 0);
}

static void set_break(long end)
{
	/* It has no errno: a refusal answers with the break as it is. */
	if (raw(SYS_brk, end, 0, 0, 0, 0, 0) != end)
		tell("brk", end, 0, 0, 0);
}

/* Memory */

static long any_prot(void)
{
	static const long prots[] = {
		PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC,
		PROT_READ | PROT_WRITE | PROT_EXEC,
	};

	return prots[roll(6)];
}

static long any_page(long *pages)
{
	long first = roll(ARENA_PAGES);

	*pages = 1 + roll(8);
	if (*pages > ARENA_PAGES - first)
		*pages = ARENA_PAGES - first;
	return ARENA + first * PAGE;
}

static long map_something(long at, long pages, long fixed)
{
	static const long kinds[] = {MAP_PRIVATE, MAP_SHARED};
	int fd = DISK_FILE + (int)roll(4);

	if (fd > READ_ONLY_FILE)
		return map(at, pages * PAGE, any_prot(), kinds[roll(2)] | MAP_ANONYMOUS | fixed, -1, 0);
	return map(at, pages * PAGE, any_prot(), kinds[roll(2)] | fixed, fd, roll(FILE_PAGES - 8) * PAGE);
}

static void change_arena(void)
{
	long pages, at = any_page(&pages), more, target = any_page(&more), moved;

	switch (roll(14)) {
	case 0:
	case 1:
	case 2:
	case 3:
		map_something(at, pages, roll(6) ? MAP_FIXED : MAP_FIXED_NOREPLACE);
		break;
	case 4:
		unmap(at, pages * PAGE);
		break;
	case 5:
		move(at, pages * PAGE, pages * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target);
		break;
	case 6:
		move(at, pages * PAGE, more * PAGE, 0, 0);
		break;
	case 7:
		moved = move(at, pages * PAGE, pages * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
		if (moved > 0)
			unmap(moved, pages * PAGE);
		break;
	case 8:
		madvise((void *)at, (size_t)(pages * PAGE), roll(2) ? MADV_DONTFORK : MADV_DOFORK);
		break;
	default:
		protect(at, pages * PAGE, any_prot());
	}
}

/* Blocks are this thread's own, so that nobody else's memory can ever be meant. */
static void change_block(void)
{
	struct block *block = &blocks[roll(BLOCKS)];
	long pages = 1 + roll(16), at;

	if (block->pages == 0) {
		at = map_something(0, pages, 0);
		if (at > 0)
			*block = (struct block){at, pages};
		return;
	}
	switch (roll(6)) {
	case 0:
		unmap(block->start, block->pages * PAGE);
		block->pages = 0;
		break;
	case 1:
		at = move(block->start, block->pages * PAGE, pages * PAGE, MREMAP_MAYMOVE, 0);
		if (at > 0)
			*block = (struct block){at, pages};
		break;
	case 2:
		if (block->pages > 1 && unmap(block->start, PAGE) == 0)
			*block = (struct block){block->start + PAGE, block->pages - 1};
		break;
	default:
		protect(block->start + roll((unsigned)block->pages) * PAGE, PAGE, any_prot());
	}
}

static void ask_nonsense(void)
{
	switch (roll(8)) {
	case 0:
		map(0, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		break;
	case 1:
		map(0, PAGE, PROT_READ, MAP_PRIVATE, 999, 0);
		break;
	case 2:
		map(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, READ_ONLY_FILE, 0);
		break;
	case 3:
		protect(ARENA + 1, PAGE, PROT_READ);
		break;
	case 4:
		unmap(ARENA + 1, PAGE);
		break;
	case 5:
		move(ARENA - PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE, 0);
		break;
	case 6:
		set_break(heap_end + (1L << 46));
		break;
	default:
		set_break(heap_end + roll(64 * PAGE));
	}
}

static void flip(void)
{
	long pages, at = any_page(&pages);

	map(at, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	for (unsigned times = roll(30); times > 0; times--)
		protect(at, PAGE, times & 1 ? PROT_READ : roll(3) ? PROT_READ | PROT_WRITE : PROT_READ | PROT_EXEC);
}

static void touch(void)
{
	long pages;
	volatile char *at = (volatile char *)any_page(&pages);

	if (sigsetjmp(back, 1) == 0) {
		touching = 1;
		*at = 1;
	}
	touching = 0;
}

/* Signals */

static void on_fault(int number, siginfo_t *info, void *context)
{
	long page = (long)info->si_addr & -PAGE;

	(void)context;
	if (info->si_code <= 0)
		return;
	if (!touching)
		signal(number, SIG_DFL);
	else if (number == SIGBUS || roll(2) || protect(page, PAGE, PROT_READ | PROT_WRITE) != 0)
		siglongjmp(back, 1);
}

static void on_user(int number)
{
	(void)number;
	protect(ARENA + 3 * PAGE, PAGE, PROT_READ);
}

static void handle_signals(void)
{
	struct sigaction fault = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
	struct sigaction user = {.sa_handler = on_user, .sa_flags = SA_RESTART};

	sigaction(SIGSEGV, &fault, NULL);
	sigaction(SIGBUS, &fault, NULL);
	sigaction(SIGUSR1, &user, NULL);
}

static void signal_somebody(void)
{
	int i = (int)roll(MOST_CHILDREN), child = atomic_load(&child_pid[i]);

	if (child <= 0) {
		raise(roll(3) ? SIGUSR1 : SIGSEGV);
		return;
	}
	switch (roll(4)) {
	case 0:
		kill(child, SIGKILL);
		break;
	case 1:
		if (!atomic_load(&settled[i]))
			break;
		kill(child, SIGSTOP);
		pause_for(roll(3) * MILLISECOND);
		kill(child, SIGCONT);
		break;
	default:
		kill(child, SIGUSR1);
	}
}

/* Policies */

static void install_filter(void)
{
	static const unsigned errors[] = {EACCES, EPERM, ENOMEM, EINVAL};
	unsigned refused = PROT_READ | PROT_EXEC | (roll(2) ? PROT_WRITE : 0);
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, refused, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | errors[roll(4)]),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {.len = sizeof(program) / sizeof(program[0]), .filter = program};

	if (filters >= MOST_FILTERS)
		return;
	filters++;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	/* With TSYNC it may fail, where another thread has a filter of its own. */
	syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, roll(2) ? SECCOMP_FILTER_FLAG_TSYNC : 0, &filter);
}

/* Processes */

static void work(int operations);
static void end_somehow(void);

static void reap(int options)
{
	pid_t child;

	while (atomic_flag_test_and_set(&family)) {
		if (options & WNOHANG)
			return;
		pause_for(MILLISECOND);
	}
	while ((child = waitpid(-1, NULL, options | __WALL)) > 0 || (child == -1 && errno == EINTR)) {
		int i;

		for (i = 0; i < MOST_CHILDREN && atomic_load(&child_pid[i]) != child; i++)
			;
		if (i < MOST_CHILDREN)
			atomic_store(&child_pid[i], 0);
		else if (child > 0 && atomic_load(&inherited) > 0)
			atomic_fetch_sub(&inherited, 1);
	}
	atomic_flag_clear(&family);
}

static void kill_children(void)
{
	for (int i = 0; i < MOST_CHILDREN; i++) {
		int child = atomic_load(&child_pid[i]);

		if (child > 0)
			kill(child, SIGKILL);
	}
}

/* A place among the children, or -1. It is taken until its child was reaped. */
static int take_place(void)
{
	int most = depth == 0 ? MOST_CHILDREN : CHILDREN_OF_A_CHILD - atomic_load(&inherited);

	for (int i = 0; depth < DEEPEST && i < most; i++) {
		int nobody = 0;

		if (atomic_compare_exchange_strong(&child_pid[i], &nobody, -1)) {
			atomic_store(&settled[i], 0);
			return i;
		}
	}
	return -1;
}

static void settle(int place, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(0);
	atomic_store(&settled[place], 1);
}

static void execute_self(int new_depth)
{
	char seed[24], end[24], deep[8], installed[8], children[8];
	char *arguments[] = {self, seed, end, "-", deep, installed, children, NULL};
	int living = atomic_load(&inherited);

	for (int i = 0; i < MOST_CHILDREN; i++)
		living += atomic_load(&child_pid[i]) != 0;
	snprintf(seed, sizeof(seed), "%lu", (unsigned long)dice);
	snprintf(end, sizeof(end), "%ld", deadline);
	snprintf(deep, sizeof(deep), "%d", new_depth);
	snprintf(installed, sizeof(installed), "%d", filters);
	snprintf(children, sizeof(children), "%d", living);
	execv(self, arguments);
}

static void share_places(void)
{
	settled = mmap(NULL, (size_t)PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (settled == MAP_FAILED)
		_exit(0);
}

static void be_a_child(int place, pid_t parent)
{
	settle(place, parent);
	depth++;
	atomic_store(&threads, 0);
	atomic_store(&inherited, 0);
	for (int i = 0; i < MOST_CHILDREN; i++)
		atomic_store(&child_pid[i], 0);
	atomic_flag_clear(&family);
	atomic_flag_clear(&child_stack_used);
	munmap(settled, (size_t)PAGE);
	share_places();
	dice = reseed(dice + (uint64_t)place);
	if (roll(5) == 0)
		prctl(PR_SET_MDWE, roll(2) ? 1 : 3, 0, 0, 0);
	if (roll(6) == 0)
		execute_self(depth);
	work((int)roll(200));
	end_somehow();
}

static void make_child(void)
{
	pid_t parent = getpid(), child;
	int place;

	if (atomic_flag_test_and_set(&family))
		return;
	place = take_place();
	if (place != -1) {
		child = fork();
		if (child == 0)
			be_a_child(place, parent);
		atomic_store(&child_pid[place], child > 0 ? child : 0);
	}
	atomic_flag_clear(&family);
}

/* It shares the memory of its parent, which stands still meanwhile: no variable may be left other than it was. */
static void make_child_that_borrows(void)
{
	pid_t parent = getpid(), child;
	int place;

	if (atomic_flag_test_and_set(&family))
		return;
	place = take_place();
	child = place == -1 ? -1 : vfork();
	if (child == 0) {
		atomic_store(&child_pid[place], getpid());
		settle(place, parent);
		for (unsigned times = roll(4); times > 0; times--)
			change_arena();
		if (roll(2))
			execute_self(depth + 1);
		_exit(0);
	}
	if (place != -1)
		atomic_store(&child_pid[place], child > 0 ? child : 0);
	atomic_flag_clear(&family);
}

static int change_arena_a_little(void *argument)
{
	(void)argument;
	for (unsigned times = roll(6); times > 0; times--)
		change_arena();
	return 0;
}

/* A process of its own in the same address space. The thread that made it waits, the others do not. */
static void make_child_that_shares(void)
{
	int place, status;
	pid_t child;

	if (atomic_flag_test_and_set(&child_stack_used))
		return;
	place = take_place();
	if (place != -1) {
		child = clone(change_arena_a_little, child_stack + sizeof(child_stack), CLONE_VM | SIGCHLD, NULL);
		while (child > 0 && waitpid(child, &status, __WALL) == -1 && errno == EINTR)
			;
		atomic_store(&child_pid[place], 0);
	}
	atomic_flag_clear(&child_stack_used);
}

static void *live_as_a_thread(void *seed)
{
	dice = (uint64_t)seed;
	/* Every thread has one of its own, and an exec may keep this one's. */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	work((int)roll(100));
	atomic_fetch_sub(&threads, 1);
	return NULL;
}

static void make_thread(void)
{
	pthread_attr_t attributes;
	pthread_t thread;
	uint64_t seed = reseed(dice);

	if (depth == 0)
		return;
	if (atomic_fetch_add(&threads, 1) >= MOST_THREADS) {
		atomic_fetch_sub(&threads, 1);
		return;
	}
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 64 * 1024);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attributes, live_as_a_thread, (void *)seed) != 0)
		atomic_fetch_sub(&threads, 1);
}

static void end_somehow(void)
{
	if (roll(2)) {
		kill_children();
		reap(0);
	}
	switch (roll(5)) {
	case 0:
		exit((int)roll(3));
	case 1:
		abort();
	case 2:
		kill(getpid(), SIGKILL);
		break;
	case 3:
		/* The leader goes first, its threads go on. */
		if (atomic_load(&threads) > 0)
			pthread_exit(NULL);
	}
	_exit((int)roll(3));
}

static void operate(void)
{
	switch (roll(24)) {
	case 0:
		make_child();
		break;
	case 1:
		make_child_that_borrows();
		break;
	case 2:
		make_child_that_shares();
		break;
	case 3:
	case 4:
		make_thread();
		break;
	case 5:
	case 6:
		signal_somebody();
		break;
	case 7:
	case 8:
		touch();
		break;
	case 9:
		ask_nonsense();
		break;
	case 10:
		flip();
		break;
	case 11:
		if (depth > 0 && roll(3) == 0)
			install_filter();
		break;
	case 12:
		if (depth > 0 && roll(10) == 0)
			execute_self(depth);
		break;
	case 13:
		if (depth > 0 && roll(40) == 0)
			end_somehow();
		break;
	case 14:
	case 15:
	case 16:
	case 17:
		change_block();
		break;
	default:
		change_arena();
	}
}

static void work(int operations)
{
	while (operations-- > 0 && now() < deadline) {
		operate();
		reap(WNOHANG);
	}
}

static void keep(int fd, int number, int flags)
{
	if (fd == -1 || dup3(fd, number, flags) == -1) {
		perror("a descriptor");
		exit(2);
	}
	close(fd);
}

static void open_files(const char *log)
{
	char path[] = "/tmp/torture-XXXXXX";
	int file = mkstemp(path), memory = memfd_create("torture", 0);

	if (file == -1 || ftruncate(file, FILE_PAGES * PAGE) != 0 || ftruncate(memory, FILE_PAGES * PAGE) != 0) {
		perror("a file");
		exit(2);
	}
	unlink(path);
	keep(open(log, O_WRONLY | O_CREAT | O_APPEND, 0600), LOG, 0);
	keep(file, DISK_FILE, 0);
	keep(memory, MEMORY_FILE, 0);
	keep(open("/proc/self/exe", O_RDONLY), READ_ONLY_FILE, 0);
}

static void make_heap(void)
{
	/* All that threads will ever want of it, so that malloc and the raw brk never meet. */
	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	free(malloc(100 * 1024));
	heap_end = (long)sbrk(0);
}

int main(int argc, char **argv)
{
	struct rlimit no_core = {0, 0};

	if (argc < 4) {
		fprintf(stderr, "usage: torture SEED SECONDS LOG\n");
		return 2;
	}
	self = argv[0];
	dice = reseed(strtoul(argv[1], NULL, 10));
	make_heap();
	handle_signals();
	share_places();
	if (argc > 6) {
		deadline = atol(argv[2]);
		depth = atoi(argv[4]);
		filters = atoi(argv[5]);
		atomic_store(&inherited, atoi(argv[6]));
		work((int)roll(200));
		end_somehow();
	}
	deadline = now() + atol(argv[2]) * 1000 * MILLISECOND;
	setrlimit(RLIMIT_CORE, &no_core);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	open_files(argv[3]);
	while (now() < deadline) {
		for (int i = 0; i < MOST_CHILDREN; i++)
			make_child();
		work(20);
		pause_for(MILLISECOND);
	}
	kill_children();
	reap(0);
	return 0;
}
