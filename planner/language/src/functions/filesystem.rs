//! Functions of paths and files. The planner reads no file: the caller hands in what [`Files`] asks for.

use md5::{Digest as _, Md5};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use crate::files::{Files, Found, clean, pattern};
use crate::value::Value;

use super::bytes::to_base64;
use super::hash::hex;
use super::{Arguments, Function, Result, Stop, function};

pub(super) const FUNCTIONS: &[Function] = &[
    function(
        "abspath(path: string) -> string",
        "Returns a path from the root of the file system.",
        ("abspath(\"/a/../b\")", "\"/b\""),
        |a| {
            let path = a.text(0)?;
            let directory = if path.starts_with('/') {
                "/"
            } else {
                &files(a)?.directory
            };
            Ok(clean(&format!("{directory}/{path}")).into())
        },
    ),
    function(
        "basename(path: string) -> string",
        "Returns the last part of a path.",
        ("basename(\"foo/bar/baz.txt\")", "\"baz.txt\""),
        |a| Ok(last(&a.text(0)?).into()),
    ),
    function(
        "dirname(path: string) -> string",
        "Returns a path without its last part.",
        ("dirname(\"foo/bar/baz.txt\")", "\"foo/bar\""),
        |a| {
            let path = a.text(0)?;
            let parent = path.rfind('/').map_or("", |end| &path[..=end]);
            Ok(clean(parent).into())
        },
    ),
    function(
        "file(path: string) -> string",
        "Returns the text of a file in UTF-8.",
        ("can(file(\"no-such-file\"))", "false"),
        |a| Ok(text(a, 0)?.into()),
    ),
    function(
        "filebase64(path: string) -> string",
        "Returns what a file holds, in Base64.",
        ("can(filebase64(\"no-such-file\"))", "false"),
        |a| Ok(to_base64(bytes(a)?).into()),
    ),
    function(
        "filebase64sha256(path: string) -> string",
        "Returns the SHA-256 digest of a file in Base64.",
        ("can(filebase64sha256(\"no-such-file\"))", "false"),
        |a| Ok(to_base64(&Sha256::digest(bytes(a)?)).into()),
    ),
    function(
        "filebase64sha512(path: string) -> string",
        "Returns the SHA-512 digest of a file in Base64.",
        ("can(filebase64sha512(\"no-such-file\"))", "false"),
        |a| Ok(to_base64(&Sha512::digest(bytes(a)?)).into()),
    ),
    function(
        "fileexists(path: string) -> bool",
        "Returns whether there is a file at a path.",
        ("fileexists(\"no-such-file\")", "false"),
        fileexists,
    ),
    function(
        "filemd5(path: string) -> string",
        "Returns the MD5 digest of a file in hexadecimal digits.",
        ("can(filemd5(\"no-such-file\"))", "false"),
        |a| Ok(hex(&Md5::digest(bytes(a)?)).into()),
    ),
    function(
        "fileset(path: string, pattern: string) -> set(string)",
        "Returns the files below a directory whose paths match a pattern such as \"**/*.sql\".",
        ("fileset(\"no-such-directory\", \"*\")", "[]"),
        fileset,
    ),
    function(
        "filesha1(path: string) -> string",
        "Returns the SHA-1 digest of a file in hexadecimal digits.",
        ("can(filesha1(\"no-such-file\"))", "false"),
        |a| Ok(hex(&Sha1::digest(bytes(a)?)).into()),
    ),
    function(
        "filesha256(path: string) -> string",
        "Returns the SHA-256 digest of a file in hexadecimal digits.",
        ("can(filesha256(\"no-such-file\"))", "false"),
        |a| Ok(hex(&Sha256::digest(bytes(a)?)).into()),
    ),
    function(
        "filesha512(path: string) -> string",
        "Returns the SHA-512 digest of a file in hexadecimal digits.",
        ("can(filesha512(\"no-such-file\"))", "false"),
        |a| Ok(hex(&Sha512::digest(bytes(a)?)).into()),
    ),
    function(
        "pathexpand(path: string) -> string",
        "Returns a path with the home directory in place of a tilde at its start.",
        ("pathexpand(\"/etc/hosts\")", "\"/etc/hosts\""),
        |a| Ok(expanded(files(a)?, &a.text(0)?).into()),
    ),
];

fn files<'a>(a: &Arguments<'a>) -> Result<&'a Files> {
    a.files
        .ok_or_else(|| Stop::Call("no file can be read for this value".to_owned()))
}

/// Returns a path with the home directory in place of `~`.
fn expanded(files: &Files, path: &str) -> String {
    match (path.strip_prefix('~'), &files.home) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => format!("{home}{rest}"),
        _ => path.to_owned(),
    }
}

fn last(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    match trimmed.rsplit('/').next() {
        Some("") if path.is_empty() => ".",
        Some("") => "/",
        Some(last) => last,
        None => ".",
    }
}

/// Returns what a file holds.
fn bytes<'a>(a: &Arguments<'a>) -> Result<&'a [u8]> {
    let files = files(a)?;
    let path = expanded(files, &a.text(0)?);
    match files.read(&clean(&path)) {
        None => Err(Stop::Unknown),
        Some(Found::File(bytes)) => Ok(bytes),
        Some(Found::Nothing) => Err(Stop::Argument(
            0,
            format!(
                "there is no file {path:?}. A path counts from the directory of the configuration; within a module, write \"${{path.module}}/...\""
            ),
        )),
        Some(Found::Directory) => Err(Stop::Argument(0, format!("{path:?} is a directory"))),
        Some(Found::Unreadable(why)) => Err(Stop::Argument(0, format!("{path:?} cannot be read: {why}"))),
    }
}

/// Returns the text of a file.
pub(super) fn text(a: &Arguments<'_>, index: usize) -> Result<String> {
    let text = std::str::from_utf8(bytes(a)?);
    let why = "the file is no text in UTF-8. Use filebase64 for other content";
    Ok(text.map_err(|_| Stop::Argument(index, why.to_owned()))?.to_owned())
}

fn fileexists(a: &Arguments<'_>) -> Result {
    let files = files(a)?;
    let path = expanded(files, &a.text(0)?);
    match files.read(&clean(&path)) {
        None => Err(Stop::Unknown),
        Some(Found::File(_)) => Ok(true.into()),
        Some(Found::Nothing) => Ok(false.into()),
        Some(Found::Directory) => Err(Stop::Argument(0, format!("{path:?} is a directory, not a file"))),
        Some(Found::Unreadable(why)) => Err(Stop::Argument(0, format!("{path:?} cannot be read: {why}"))),
    }
}

fn fileset(a: &Arguments<'_>) -> Result {
    let files = files(a)?;
    let (path, text) = (expanded(files, &a.text(0)?), a.text(1)?);
    let pattern = pattern(&text).map_err(|why| Stop::Argument(1, why))?;
    let names = match files.names(&clean(&path)) {
        None => return Err(Stop::Unknown),
        Some(Ok(names)) => names,
        Some(Err(why)) => return Err(Stop::Argument(0, format!("{path:?} cannot be listed: {why}"))),
    };
    let matching = names.iter().filter(|name| pattern.is_match(name));
    Ok(Value::set(
        &matching.map(|name| name.as_str().into()).collect::<Vec<_>>(),
    ))
}
