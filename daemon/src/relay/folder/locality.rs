//! Whether a file system reports every change, or only those made on this machine.
//!
//! Notifications come from the kernel that makes the change. On NFS, SMB, FUSE, 9p and the like another machine makes
//! it, and nothing is reported here although the watch was accepted. What a sync tool writes, it writes here.

use std::path::Path;

/// True when all changes below `path` pass through this machine's kernel. Unknown file systems are not trusted.
#[cfg(target_os = "linux")]
pub(super) fn reports_every_change(path: &Path) -> bool {
    /// `f_type` of local file systems, from statfs(2) and linux/magic.h.
    const LOCAL: &[u32] = &[
        0x0000_EF53, // ext2, ext3, ext4
        0x5846_5342, // xfs
        0x9123_683E, // btrfs
        0x2FC1_2FC1, // zfs
        0xF2F5_2010, // f2fs
        0xCA45_1A4E, // bcachefs
        0x0102_1994, // tmpfs
        0x8584_58F6, // ramfs
        0x794C_7630, // overlayfs
        0x0000_F15F, // ecryptfs
        0x5265_4973, // reiserfs
        0x3153_464A, // jfs
        0x0000_4D44, // fat
        0x2011_BAB0, // exfat
        0x7366_746E, // ntfs3
    ];
    // The type's width and sign differ between architectures, the magic numbers have 32 bits.
    rustix::fs::statfs(path).is_ok_and(|stat| LOCAL.contains(&(stat.f_type as u32)))
}

/// Elsewhere we cannot tell, and poll as well.
#[cfg(not(target_os = "linux"))]
pub(super) fn reports_every_change(_path: &Path) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn neither_proc_nor_a_missing_path_is_trusted() {
        assert!(!reports_every_change(Path::new("/proc/self")));
        assert!(!reports_every_change(Path::new("/no/such/path")));
    }
}
