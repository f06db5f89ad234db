<%@ Page Language="C#" %>
<script runat="server">
    // A session that lives in the memory of this process, as IIS keeps it by default.
    void Page_Load(object sender, EventArgs e)
    {
        int visits = (Session["visits"] == null ? 0 : (int)Session["visits"]) + 1;
        Session["visits"] = visits;
        Response.ContentType = "text/plain";
        Response.Write("visit " + visits + " of " + Environment.GetEnvironmentVariable("NODE") + "\n");
        Response.End();
    }
</script>
