/** Where the kernel names the hardware that it draws random bytes from itself. */
export const HARDWARE_SOURCE_PATH = "/sys/class/misc/hw_random/rng_current";

/** How the kernel names the NSM where it draws from it by itself. */
export const NSM_HARDWARE_SOURCE = "nsm-hwrng";
