/*
 * Does the processor run what another thread has written? One thread replaces the operand of an instruction
 * with one aligned store; another runs that instruction all the while. Once the second one knows of the store,
 * and after a serialising instruction, it must see the new operand. V8 relies on this whenever a background
 * thread patches a jump table (Intel SDM volume 3, "Handling Self- and Cross-Modifying Code").
 *
 * Prints how often the old code ran; exits with 1 if it ever did.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ROUNDS 200
#define CALLS_PER_TURN 2000

/* mov eax, <operand>; ret - with an operand that no cache line cuts in two. */
#define OPERAND 64
static const uint8_t code[] = {0xb8, 0, 0, 0, 0, 0xc3};

static uint8_t *page;
static _Atomic uint32_t written, seen;

/* On a processor of its own, where there are two: threads that take turns on one see each other's code. */
static void stay_on(int processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) perror("sched_setaffinity");
}

static void *patch(void *unused) {
  if (sysconf(_SC_NPROCESSORS_ONLN) > 1) stay_on(1);
  volatile uint32_t *operand = (volatile uint32_t *)(page + OPERAND);
  for (uint32_t round = 1; round <= ROUNDS; round++) {
    *operand = round;
    atomic_store(&written, round);
    while (atomic_load(&seen) != round) sched_yield();
  }
  return unused;
}

static void serialise(void) {
  uint32_t a = 0, b, c = 0, d;
  __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d)::"memory");
}

int main(void) {
  int rights = PROT_READ | PROT_WRITE | PROT_EXEC;
  page = mmap(NULL, 4096, rights, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return 2;
  memcpy(page + OPERAND - 1, code, sizeof code);
  uint32_t (*run)(void);
  *(void **)&run = page + OPERAND - 1;

  if (sysconf(_SC_NPROCESSORS_ONLN) > 1) stay_on(0);
  pthread_t patcher;
  if (pthread_create(&patcher, NULL, patch, NULL) != 0) return 2;
  int stale = 0;
  for (uint32_t round = 1; round <= ROUNDS; round++) {
    for (int calls = 1; atomic_load(&written) != round; calls++) {
      run();
      if (calls % CALLS_PER_TURN == 0) sched_yield();
    }
    serialise();
    if (run() != round) stale++;
    atomic_store(&seen, round);
  }
  pthread_join(patcher, NULL);
  printf("old code ran after %d of %d patches\n", stale, ROUNDS);
  return stale != 0;
}
