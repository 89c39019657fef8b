//! Directories that are entered one name at a time, so that no symbolic link leads out of an instance's tree.
//!
//! simdb may run as root, and instance directories belong to the servers' user, who can put a symbolic link in the place of any file or
//! directory there. A [`Folder`] is an open directory that was reached without following a link that this user could have
//! made. What is in it is named through `/proc/self/fd`, so that every call works in the very directory that was opened,
//! whatever its path leads to by then. The last name of such a path is never followed: the calls made here remove, rename
//! and look at links themselves, and open files with `O_NOFOLLOW`.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, DirEntry, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, readlinkat};
use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::geteuid;
use thiserror::Error;

use super::files::optional;
use super::user::RunAs;

/// How many symbolic links the way to a directory may have, as the kernel counts.
const LINKS: usize = 40;

/// A symbolic link where none is followed.
#[derive(Debug, Error)]
#[error(
    "{path:?} is a symbolic link to {target:?}, which is not followed where the servers' user can make one; put back what \
     belongs there, or remove the link"
)]
pub(super) struct Link {
    path: PathBuf,
    target: PathBuf,
}

/// A file that another directory may have, too.
#[derive(Debug, Error)]
#[error("{0:?} is no plain file of the servers' user; remove it")]
struct Improper(PathBuf);

/// Whose a file or directory is that is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// The servers' user's, and closed to all others.
    Servers,
    /// Our own, and readable by everybody.
    Everyone,
}

/// An open directory.
#[derive(Debug)]
pub(super) struct Folder {
    handle: File,
    path: PathBuf,
    user: RunAs,
}

impl Folder {
    /// Opens a directory. Symbolic links on the way are followed, except those that the servers' user could have made.
    pub(super) fn open(path: &Path, user: &RunAs) -> io::Result<Self> {
        let way = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let root = || openat(AT_FDCWD, "/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty());
        let mut here: OwnedFd = root()?;
        let (mut ahead, mut links) = (names(path), 0);
        while let Some(name) = ahead.pop() {
            let next = File::from(openat(&here, name.as_os_str(), way, Mode::empty())?);
            let meta = next.metadata()?;
            if !meta.is_symlink() {
                here = next.into();
                continue;
            }
            let target = PathBuf::from(readlinkat(&next, "")?);
            links += 1;
            if user.distrusts(meta.uid()) {
                let path = path.to_owned();
                return Err(io::Error::other(Link { path, target }));
            }
            if links > LINKS {
                return Err(Errno::ELOOP.into());
            }
            if target.is_absolute() {
                here = root()?;
            }
            ahead.extend(names(&target));
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self {
            handle: openat(&here, ".", flags, Mode::empty())?.into(),
            path: path.to_owned(),
            user: user.clone(),
        })
    }

    /// Opens a directory in this one, and follows no symbolic link.
    pub(super) fn enter(&self, name: &str) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let handle = openat(&self.handle, name, flags, Mode::empty());
        Ok(Self {
            handle: handle.map_err(|error| self.refused(name, error.into()))?.into(),
            path: if name == "." {
                self.path.clone()
            } else {
                self.path.join(name)
            },
            user: self.user.clone(),
        })
    }

    /// Opens the directory that a path below this one ends in, and returns it with the last name of the path.
    pub(super) fn walk<'a>(&self, path: &'a str) -> io::Result<(Self, &'a str)> {
        let plain = |part| matches!(part, Component::Normal(_));
        if !Path::new(path).components().all(plain) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut names = path.split('/').filter(|name| !name.is_empty());
        let last = names.next_back().ok_or(io::ErrorKind::InvalidInput)?;
        let above = names.try_fold(self.enter(".")?, |above, name| above.enter(name))?;
        Ok((above, last))
    }

    /// Says that a name is a symbolic link, where that is why the system refused it.
    fn refused(&self, name: &str, error: io::Error) -> io::Error {
        match fs::read_link(self.child(name)) {
            Ok(target) => {
                let path = self.path.join(name);
                io::Error::other(Link { path, target })
            }
            Err(_) => error,
        }
    }

    /// Names what is in the directory; the last name must not be followed.
    fn child(&self, name: &str) -> PathBuf {
        Path::new("/proc/self/fd")
            .join(self.handle.as_raw_fd().to_string())
            .join(name)
    }

    /// Returns what is in the directory.
    pub(super) fn entries(&self) -> io::Result<Vec<DirEntry>> {
        fs::read_dir(self.child("."))?.collect()
    }

    /// Looks at what is in the directory; absent where there is nothing of that name.
    pub(super) fn look(&self, name: &str) -> io::Result<Option<Metadata>> {
        optional(fs::symlink_metadata(self.child(name)))
    }

    /// Returns where a symbolic link in the directory leads to.
    pub(super) fn link_target(&self, name: &str) -> Option<PathBuf> {
        fs::read_link(self.child(name)).ok()
    }

    /// Makes a symbolic link in the directory.
    pub(super) fn link(&self, target: &Path, name: &str) -> io::Result<()> {
        symlink(target, self.child(name))?;
        self.sync()
    }

    /// Returns the number of the user whose directory it is.
    pub(super) fn owner(&self) -> io::Result<u32> {
        Ok(self.handle.metadata()?.uid())
    }

    /// Returns whether this is the same directory.
    pub(super) fn is(&self, other: &Self) -> io::Result<bool> {
        let key = |folder: &Self| folder.handle.metadata().map(|meta| (meta.dev(), meta.ino()));
        Ok(key(self)? == key(other)?)
    }

    /// Opens a file for reading.
    pub(super) fn file(&self, name: &str) -> io::Result<File> {
        self.open_file(name, OpenOptions::new().read(true))
    }

    /// Opens a file of the servers' user that can be appended to, and makes it where it is not there.
    pub(super) fn append(&self, name: &str) -> io::Result<File> {
        let options = &mut OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let file = self.open_file(name, options)?;
        self.user.own(&file)?;
        Ok(file)
    }

    fn open_file(&self, name: &str, options: &mut OpenOptions) -> io::Result<File> {
        // A pipe in the file's place must not be waited for.
        let options = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let file = options
            .open(self.child(name))
            .map_err(|error| self.refused(name, error))?;
        let meta = file.metadata()?;
        // A file of another user's that has a second name may have its first one elsewhere.
        if meta.is_file() && (meta.nlink() <= 1 || meta.uid() == self.user.uid()) {
            return Ok(file);
        }
        Err(io::Error::other(Improper(self.path.join(name))))
    }

    /// Reads a file.
    pub(super) fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file(name)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Replaces a file as a whole, and returns when it would survive a power cut.
    pub(super) fn replace(&self, name: &str, text: &[u8], access: Access) -> io::Result<()> {
        let temporary = temporary(name);
        // Left by a crash; what is made below is then new.
        optional(fs::remove_file(self.child(&temporary)))?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.child(&temporary))?;
        self.grant(&file, access, 0o600, 0o644)?;
        file.write_all(text)?;
        file.sync_all()?;
        self.rename(&temporary, name)?;
        self.sync()
    }

    fn grant(&self, made: &File, access: Access, private: u32, public: u32) -> io::Result<()> {
        match access {
            Access::Servers => {
                made.set_permissions(Permissions::from_mode(private))?;
                self.user.own(made)
            }
            Access::Everyone => made.set_permissions(Permissions::from_mode(public)),
        }
    }

    /// Replaces a private file of the servers' user, unless it is already as it should be.
    pub(super) fn ensure_private(&self, name: &str, text: &[u8]) -> io::Result<()> {
        let right = |meta: &Metadata| meta.is_file() && meta.mode() & 0o777 == 0o600 && meta.uid() == self.user.uid();
        if self.look(name)?.is_some_and(|meta| right(&meta)) && self.read(name)? == text {
            return Ok(());
        }
        self.replace(name, text, Access::Servers)
    }

    /// Opens a directory, and makes it where it is not there. A crash leaves none, or one that has its mode and its owner.
    pub(super) fn ensure(&self, name: &str, access: Access) -> io::Result<Self> {
        if self.look(name)?.is_some() {
            return self.enter(name);
        }
        let temporary = temporary(name);
        // Left by a crash, and empty: nothing is put into a directory before it has its name.
        optional(fs::remove_dir(self.child(&temporary)))?;
        DirBuilder::new().mode(0o700).create(self.child(&temporary))?;
        let made = self.enter(&temporary)?;
        if made.handle.metadata()?.uid() != geteuid().as_raw() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.grant(&made.handle, access, 0o700, 0o755)?;
        self.rename(&temporary, name)?;
        self.sync()?;
        self.enter(name)
    }

    /// Opens a directory, and makes what is missing of the way to it, open to everybody, so that the user of the servers
    /// can pass.
    pub(super) fn make_way(path: &Path, user: &RunAs) -> io::Result<Self> {
        match (Self::open(path, user), path.parent(), path.file_name()) {
            (Err(error), Some(above), Some(name)) if error.kind() == io::ErrorKind::NotFound => {
                Self::make_way(above, user)?.ensure(&name.to_string_lossy(), Access::Everyone)
            }
            (opened, _, _) => opened,
        }
    }

    /// Gives the directory to the servers' user.
    pub(super) fn own(&self) -> io::Result<()> {
        self.user.own(&self.handle)
    }

    /// Renames what is in the directory.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.child(from), self.child(to))
    }

    /// Removes a file, a symbolic link, or a directory with all that is in it.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        let Some(meta) = self.look(name)? else {
            return Ok(());
        };
        let removed = if meta.is_dir() {
            fs::remove_dir_all(self.child(name))
        } else {
            fs::remove_file(self.child(name))
        };
        optional(removed).map(drop)
    }

    /// Removes a directory that is empty.
    pub(super) fn remove_empty(&self, name: &str) -> io::Result<()> {
        fs::remove_dir(self.child(name))
    }

    /// Makes the entries of the directory survive a power cut.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    /// Opens the directory once more, as what it is locked by.
    pub(super) fn handle(&self) -> io::Result<File> {
        self.enter(".").map(|folder| folder.handle)
    }
}

/// Returns the names of a path, the first one last.
fn names(path: &Path) -> Vec<OsString> {
    let inside = path.components().filter(|part| *part != Component::RootDir);
    inside.map(|part| part.as_os_str().to_owned()).rev().collect()
}

/// Returns where the next text of a file is written before it takes the file's name.
pub(super) fn temporary(name: &str) -> String {
    format!(".{name}.tmp")
}
