//! Pipes, alone and to children.

use std::io::{ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::Poll;

use futures_util::future::join;
use futures_util::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use outboard_core::exit::Exit;
use outboard_core::rt::{BoxReader, BoxWriter, SharedRuntime};

use crate::support::{Run, descriptors, once, pattern, read_all, shell, start, wait, yield_now};

const MEBIBYTE: usize = 1 << 20;

fn pipe(runtime: &SharedRuntime) -> (BoxReader, BoxWriter) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let reader = descriptors(runtime)
        .pipe_reader(reader)
        .expect("it can be read");
    (
        reader,
        descriptors(runtime)
            .pipe_writer(writer)
            .expect("it can be written"),
    )
}

/// Far more than the pipes hold, written while it is read.
pub fn a_mebibyte_through_a_child_and_back(run: Run) {
    run.case(|runtime| async move {
        let mut launch = shell("exec cat");
        launch.env = vec![("PATH".into(), "/usr/bin:/bin".into())];
        let mut process = start(&runtime, launch).await;
        let mut stdin = process.stdin.take().expect("a pipe was asked for");
        let sent = pattern(MEBIBYTE);
        let write = async {
            stdin.write_all(&sent).await.expect("the child reads");
            stdin.close().await.expect("it can be closed");
        };
        let ((), got) = join(write, read_all(&mut process.stdout)).await;
        assert!(got == sent, "{} bytes came back changed", got.len());
        assert_eq!(wait(&mut process).await, Exit::Code(0));
    });
}

/// A writer waits when the pipe is full and goes on when it is read.
pub fn full_pipe_pushes_back(run: Run) {
    run.case(|runtime| async move {
        let (mut reader, mut writer) = pipe(&runtime);
        let sent = pattern(MEBIBYTE);
        let mut taken = 0;
        let write = |cx: &mut std::task::Context<'_>, taken: usize| {
            Pin::new(&mut writer).poll_write(cx, &sent[taken..])
        };
        let mut write = write;
        while let Poll::Ready(count) = once(|cx| write(cx, taken)).await {
            taken += count.expect("the pipe is open");
            assert!(taken < MEBIBYTE, "a pipe without end");
        }
        let mut got = vec![0; taken];
        let rest = async {
            writer
                .write_all(&sent[taken..])
                .await
                .expect("there is a reader");
            drop(writer);
        };
        let read = async {
            reader
                .read_exact(&mut got)
                .await
                .expect("there is a writer");
            got.append(&mut read_all(&mut reader).await);
        };
        join(rest, read).await;
        assert!(got == sent, "the bytes arrive as sent");
    });
}

/// A read gives what is there, and the rest stays for the next.
pub fn partial_reads(run: Run) {
    run.case(|runtime| async move {
        let (mut reader, mut writer) = pipe(&runtime);
        writer
            .write_all(b"abcdef")
            .await
            .expect("there is a reader");
        let mut buffer = [0; 4];
        let count = reader.read(&mut buffer).await.expect("there is a writer");
        assert_eq!((count, &buffer), (4, b"abcd"));
        let count = reader.read(&mut buffer).await.expect("there is a writer");
        assert_eq!((count, &buffer[..2]), (2, &b"ef"[..]));
    });
}

/// Closing is enough; the writer need not be dropped. It cannot be used after.
pub fn close_ends_the_stream(run: Run) {
    run.case(|runtime| async move {
        let (mut reader, mut writer) = pipe(&runtime);
        writer.write_all(b"end").await.expect("there is a reader");
        writer.close().await.expect("it can be closed");
        assert_eq!(read_all(&mut reader).await, b"end");
        writer.close().await.expect("closing twice is closing");
        writer.write(b"more").await.expect_err("it is closed");
    });
}

/// The usual way.
pub fn drop_ends_the_stream(run: Run) {
    run.case(|runtime| async move {
        let (mut reader, mut writer) = pipe(&runtime);
        let mut waiting = Box::pin(read_all(&mut reader));
        assert!(once(|cx| waiting.as_mut().poll(cx)).await.is_pending());
        writer.write_all(b"end").await.expect("there is a reader");
        drop(writer);
        assert_eq!(waiting.await, b"end");
    });
}

/// An error, and no SIGPIPE.
pub fn write_without_reader_fails(run: Run) {
    run.case(|runtime| async move {
        let (reader, mut writer) = pipe(&runtime);
        drop(reader);
        // A child that another test is just starting may have the reading end until its exec.
        let error = loop {
            if let Err(error) = writer.write(b"x").await {
                break error;
            }
            yield_now().await;
        };
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

/// Dropping a read that waits takes nothing with it.
pub fn abandoned_read_loses_nothing(run: Run) {
    run.case(|runtime| async move {
        let (mut reader, mut writer) = pipe(&runtime);
        let mut buffer = [0; 8];
        for round in 0..10_u8 {
            let mut read = reader.read(&mut buffer);
            assert!(once(|cx| Pin::new(&mut read).poll(cx)).await.is_pending());
            writer.write_all(&[round]).await.expect("there is a reader");
            let count = reader.read(&mut buffer).await.expect("there is a writer");
            assert_eq!(buffer[..count], [round]);
        }
    });
}

/// The system sees all slices at once.
pub fn vectored_writes_are_one_call(run: Run) {
    run.case(|runtime| async move {
        let (mut reader, mut writer) = pipe(&runtime);
        vectored(&mut writer, &mut reader).await;
    });
}

/// Writes many slices, expecting them to go in one call, and reads them at the other end.
pub(crate) async fn vectored(
    writer: &mut (impl AsyncWrite + Unpin + ?Sized),
    reader: &mut (impl AsyncRead + Unpin + ?Sized),
) {
    let sent = pattern(3000);
    let slices: Vec<IoSlice<'_>> = sent.chunks(30).map(IoSlice::new).collect();
    let count = writer.write_vectored(&slices).await.expect("open");
    assert_eq!(count, sent.len());
    writer.flush().await.expect("open");
    let mut got = vec![0; sent.len()];
    reader.read_exact(&mut got).await.expect("open");
    assert!(got == sent, "the bytes arrive as sent");
}
