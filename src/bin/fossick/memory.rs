//! What the C library does with memory that is given back.

/// Has large pieces go back to the system as soon as they are freed.
///
/// glibc starts that way, but with each large piece that is freed it raises the size from which it does so, up to 32 MB, and keeps what is smaller for the thread that
/// had it: pages of tables, which come and go on several threads, then stay twice over (making a million rows: 287 to 294 MB without this, 147 MB with it; `fossick bench --search --rows 1000000`, under `made`).
/// The library leaves this to the program that it is part of.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
pub fn give_back_large_pieces() {
    use std::ffi::c_int;

    unsafe extern "C" {
        fn mallopt(parameter: c_int, value: c_int) -> c_int;
    }
    /// `M_MMAP_THRESHOLD` of malloc.h.
    const FROM_SIZE: c_int = -3;
    // SAFETY: mallopt takes two numbers and its own lock. It says 0 where it does not know the parameter, and all is as it was.
    unsafe {
        mallopt(FROM_SIZE, 256 * 1024);
    }
}

/// Elsewhere nothing is known to be kept.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_back_large_pieces() {}
