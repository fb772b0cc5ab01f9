// JeroMQ as Debian has it (0.3.6), which speaks ZMTP 2.0 at most: a DEALER that greets a ROUTER and
// waits for the answer that must not come.

import org.zeromq.ZMQ;

public class Old {
    public static void main(String[] arguments) {
        ZMQ.Context context = ZMQ.context(1);
        ZMQ.Socket socket = context.socket(ZMQ.DEALER);
        socket.setLinger(0);
        socket.setReceiveTimeOut(Integer.parseInt(arguments[1]));
        socket.connect(arguments[0]);
        socket.send("from another time");
        System.out.println("sent");
        byte[] answer = socket.recv(0);
        System.out.println(answer == null ? "nothing" : "answered");
        socket.close();
        context.term();
    }
}
